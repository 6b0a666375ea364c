"""Spark scores history with a trained model: what the model says of the backfill's features, however the work is cut; and a model that may not score, does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from features.catalog import load as load_definitions
from features.versions.data_version import DataVersion
from inference.batch import BatchScorer
from inference.model.loading import load
from inference.prediction_table import schema_of
from jobs.cli.main import main
from jobs.spark import backfill
from jobs.spark.backfill import Backfill
from jobs.spark.daily_output import WHOLE
from jobs.spark.run_summary import RunSummary
from jobs.spark.session import session, told
from schemas.errors import DataError, SettingError
from tests.jobs.test_backfill import backfill_of, run, several_days
from tests.jobs.test_train import backfilled, trained

pytestmark = pytest.mark.e2e

PLAN = load_definitions(None, None)
SERVICE = PLAN.services["flight_delay"]


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("tests") as running:
        yield running


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    return trained(folder / "model", backfilled(folder / "training"))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    several_days(folder)
    return folder


@pytest.fixture(scope="module")
def features(spark: SparkSession, history: Path) -> Path:
    """The backfill of the same requests."""
    run(spark, backfill_of(history, PLAN), history / "features")
    return history / "features"


def scoring(history: Path, model: Path, **options: Any) -> Backfill:
    return backfill_of(history, PLAN, scoring=BatchScorer(service=SERVICE, model=model, version=load(model).version), **options)


@pytest.mark.parametrize("group_rows", [40, 500_000])  # by keys and time, with the values put together afterwards; and by days
def test_history_is_scored_as_the_model_scores_its_features(
    spark: SparkSession, history: Path, features: Path, model: Path, tmp_path: Path, group_rows: int
) -> None:
    said, summary = run(spark, scoring(history, model, group_rows=group_rows), tmp_path / "predictions")
    table, loaded = pq.read_table(features), load(model)
    assert said["score"].to_pylist() == loaded.predict(table).tolist()
    assert said["request_id"].to_pylist() == pq.read_table(history / "requests.parquet")["request_id"].to_pylist()
    assert len(set(said["score"].to_pylist())) > 10
    assert said.column_names == schema_of(SERVICE).names
    for name in table.column_names:
        assert said[name].equals(table[name])
    assert set(said["model_version"].to_pylist()) == {loaded.version}
    assert summary.lines(history, "predictions")[-1].startswith(f"{len(table):,} rows of predictions in ")
    made_of = DataVersion.parse(json.loads((tmp_path / "predictions" / WHOLE).read_text()), tmp_path)
    assert made_of.options["model_version"] == loaded.version
    assert made_of.files == DataVersion.parse(json.loads((features / WHOLE).read_text()), features).files


def test_a_model_that_changes_on_the_way_scores_nothing(spark: SparkSession, history: Path, model: Path, tmp_path: Path) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    wanted = scoring(history, other)
    with (other / "model.txt").open("ab") as file:
        file.write(b"!")
    out, summary = tmp_path / "out", RunSummary()
    with pytest.raises(DataError, match="damaged: its sha256 is"), told():
        backfill.compute(spark, wanted, out, summary=summary)
    assert (summary.whole, summary.done) == (False, {})
    (line,) = summary.lines(out, "predictions")[-2:-1]
    assert line.startswith("not done: 2013-10-01 to 2013-10-04 (4 days): ")
    assert "damaged: its sha256 is" in line
    assert list(out.glob("*.parquet")) == []
    with pytest.raises(SettingError, match=r"option model_version: \"[0-9a-f]{16}\" → \"0123\""):  # nor do two models share a folder
        backfill.compute(spark, replace(wanted, scoring=BatchScorer(service=SERVICE, model=other, version="0123")), out)


def test_what_cannot_be_scored_is_one_clear_line_before_spark_starts(
    history: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--events", str(history / "events"), "--requests", str(history / "requests.parquet"), "--out", str(tmp_path / "out")]
    manifest = json.loads((model / "manifest.json").read_text())
    strange = shutil.copytree(model, tmp_path / "strange")
    (strange / "manifest.json").write_text(json.dumps(manifest | {"service_version": "0"}))
    damaged = shutil.copytree(model, tmp_path / "damaged")
    with (damaged / "model.txt").open("ab") as file:
        file.write(b"!")
    for folder, code, said in (
        (tmp_path / "nowhere", 2, "no model here"),
        (strange, 2, "the model was made for service flight_delay version 0"),
        (damaged, 4, "damaged: its sha256 is"),
    ):
        assert main(["predict", "flight_delay", *places, "--model", str(folder)]) == code
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error
    assert not (tmp_path / "out").exists()
