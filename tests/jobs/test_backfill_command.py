"""`spark-submit` and `tidemark backfill`: the same files, whole or not at all. Of its own file: a command ends the process's Spark session."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.versions.data_version import DataFile, DataVersion
from infra.java import QUICK
from infra.settings import Settings
from jobs.cli.main import main
from jobs.control.code_version import code_version
from jobs.spark import backfill
from tests.e2e.command_line import tidemark
from tests.jobs.test_backfill import small
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.e2e

FLIGHTS = Path(__file__).parent.parent.parent


def where(folder: Path) -> list[str]:
    return ["--service", "flight_delay", "--events", str(folder / "events"), "--requests", str(folder / "requests.parquet")]


def call(folder: Path, out: Path, *arguments: str, code: int = 0) -> str:
    return tidemark(Settings.load(environ={}, folder=folder), "backfill", *where(folder), "--out", str(out), *arguments, code=code)


def submit(folder: Path, *arguments: object, program: str = "spark-submit") -> subprocess.CompletedProcess[str]:
    quick = ["--driver-java-options", " ".join(("-XX:+UseSerialGC", *QUICK))]  # as the command starts it
    script = [*quick, str(FLIGHTS / "jobs" / "backfill.py")] if program == "spark-submit" else ["backfill"]
    command = [str(Path(sys.executable).parent / program), *script, *where(folder), *map(str, arguments)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def test_spark_submit_and_the_command_line_write_the_same_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path)
    monkeypatch.chdir(tmp_path)
    plainly = submit(tmp_path, "--out", tmp_path / "plainly")
    assert plainly.returncode == 0, plainly.stderr
    assert "2 rows of features" in plainly.stdout
    shortly = submit(tmp_path, "--out", tmp_path / "shortly", program="tidemark")
    assert shortly.returncode == 0, shortly.stderr
    assert pq.read_table(tmp_path / "plainly").equals(pq.read_table(tmp_path / "shortly"))
    said = json.loads((tmp_path / "plainly" / backfill.MANIFEST).read_text())
    made_of = DataVersion.parse(said, tmp_path)
    assert (made_of.service, said["rows"]) == ("flight_delay", 2)
    content = (tmp_path / "events" / "departures" / "a.parquet").read_bytes()
    file = DataFile(name="a.parquet", bytes=len(content), rows=6, sha256=hashlib.sha256(content).hexdigest())
    assert made_of.files["departures"] == (file,)
    assert made_of.code == code_version()
    for path in sorted((tmp_path / "plainly").rglob("*.*")):  # not a time in them, nor a place
        assert path.read_bytes() == (tmp_path / "shortly" / path.relative_to(tmp_path / "plainly")).read_bytes()
    assert main(["data", "diff", str(tmp_path / "plainly"), str(tmp_path / "shortly")]) == 0

    assert "done: 2013-10-01 (1 day, 2 rows)" in plainly.stdout
    assert "1 day of them from before" in call(tmp_path, tmp_path / "plainly")
    other = submit(tmp_path, "--out", tmp_path / "plainly", "--as-known", program="tidemark")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "begun with other inputs (option as_known: false → true)" in other.stderr
    strange = call(tmp_path, tmp_path / "events", "--overwrite", code=2)
    assert strange.count("\n") == 1
    assert "not written by this command" in strange
    call(tmp_path, tmp_path / "requests.parquet" / "x", code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tidemark", "events", "plainly", "requests.parquet", "shortly"]
