"""The archive for `spark-submit --py-files`: the same bytes of the same code, and importable by a Python that has no Tidemark."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from jobs.cli import package
from jobs.cli.main import main
from jobs.control.code_version import PACKAGES
from tests.waiting import PATIENCE_S

WORKERS_NEED = ("features.point_in_time", "jobs.spark.daily_writer", "jobs.spark.kafka_partition_reader", "schemas.wire")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("package") / "tidemark.zip"
    package.write(file)
    return file


def test_the_same_code_makes_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    package.write(tmp_path / "deep" / "again.zip")
    assert (tmp_path / "deep" / "again.zip").read_bytes() == archive.read_bytes()


def test_it_holds_the_five_packages_and_nothing_that_lies_beside_them(archive: Path) -> None:
    names = zipfile.ZipFile(archive).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert "schemas/departure.avsc" in names
    assert [name for name in names if "__pycache__" in name or "/." in name] == []


def test_what_workers_run_is_imported_from_it(archive: Path) -> None:
    # -I and no site: of the environment only its packages, not the project that is installed into it.
    code = f"""
import importlib, importlib.metadata, sys
sys.path[:0] = [{str(archive)!r}, {sysconfig.get_path("purelib")!r}]
found = [importlib.import_module(name).__file__ for name in {WORKERS_NEED!r}]
assert all(file.startswith({str(archive)!r}) for file in found), found
assert not any(name.partition(".")[0] in ("pyspark", "pyflink", "feast", "lightgbm") for name in sys.modules), "a worker's start is not for these"
print(importlib.metadata.version("tidemark"))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_the_command_says_what_it_wrote_and_refuses_what_spark_would_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["package"]) == 0
    assert capsys.readouterr().out.startswith("dist/tidemark.zip: ")
    assert main(["package", "--out", "tidemark.whl"]) == 2
    assert capsys.readouterr().err == (
        "tidemark: package: --out tidemark.whl: Spark imports from files whose names end in .zip; e.g. tidemark.zip\n"
    )
    (tmp_path / "file").touch()
    assert main(["package", "--out", "file/tidemark.zip"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dist", "file"]
