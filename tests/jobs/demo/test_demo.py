"""The whole river on one day of October, as `make demo` runs it on more and trains on more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.catalog import load
from infra.java import QUICK
from jobs.cli.main import main
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parent.parent.parent.parent
PATIENT = {"TIDEMARK_JIT": "quick", "TIDEMARK_START_TIMEOUT": f"{PATIENCE_S:.0f}s"}
KEYS = {
    "events",
    "dead_letters",
    "injected_bad",
    "tiles",
    "predictions",
    "exact_share",
    "parity",
    "auc_live",
    "auc_static",
    "log_loss_live",
    "throughput_events_per_s",
    "latency_ms",
    "wall_s",
    "versions",
}


@pytest.mark.e2e
def test_one_day_through_everything(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "jobs.cli.main", "demo", "--days", "1", "--train-from", "2013-08-31"]
    done = subprocess.run(
        command,
        env=os.environ | {"TIDEMARK_HOME": str(home)} | PATIENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    report = json.loads((home / "demo/report.json").read_text())
    assert report.keys() == KEYS
    parity = report["parity"]
    assert parity["compared"] == parity["equal"] > 20_000
    assert parity["different"] == parity["missing"] == parity["extra"] == 0
    assert report["exact_share"] >= 0.99
    assert report["dead_letters"] == report["injected_bad"] == 51
    assert 0 < report["auc_live"] < 1

    predictions = pq.read_table(home / "demo/predictions.parquet")
    service = load(None, None).services["flight_delay"]
    assert len(predictions) == report["predictions"] == 965
    wanted = {*service.request.columns, *service.feature_types, "score", "model_version", "variant", "shard", "frontier", "stale"}
    assert set(predictions.column_names) == wanted

    assert "<svg" in (home / "demo/report.html").read_text()
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if any(str(home) in word for word in process.info["cmdline"] or ())
    ]
    assert left == []
    assert_spark_scores_the_same(home, predictions)


def assert_spark_scores_the_same(home: Path, served: pa.Table) -> None:
    """The same requests from the archive, by the same model: bit for bit where the stream's features were not stale."""
    bin_ = Path(sys.executable).parent
    places = ("--events", home / "archive", "--requests", home / "demo/requests.parquet", "--model", home / "demo/model")
    quick = ("--driver-java-options", " ".join(("-XX:+UseSerialGC", *QUICK)))  # as the command starts it
    command = [bin_ / "spark-submit", *quick, ROOT / "jobs/predict.py", "flight_delay", *places, "--out", home / "scored"]
    environ = os.environ | {"TIDEMARK_HOME": str(home), "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(word) for word in command], env=environ, cwd=home, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    scored = pq.read_table(home / "scored")
    assert scored.schema.equals(served.schema)
    exact = served.filter(pc.invert(served["stale"]))
    again = dict(zip(scored["request_id"].to_pylist(), scored["score"].to_pylist(), strict=True))
    assert len(again) == len(served)
    assert [again[identity] for identity in exact["request_id"].to_pylist()] == exact["score"].to_pylist()
    assert len(set(again.values())) > len(served) / 2


@pytest.mark.parametrize("day", ["2013-09-20", "2012-12-31", "soon"])
def test_a_day_that_cannot_be_trained_from_is_refused_at_once(day: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--train-from", day]) == 2
    assert day in capsys.readouterr().err
