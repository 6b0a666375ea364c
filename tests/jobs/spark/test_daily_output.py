"""The folder of a backfill: a day counts as done only for what it was made of, and only faults of the folder are told as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog import load
from features.versions.data_version import CodeVersion, DataVersion
from jobs.spark.daily_output import MADE_OF, STATE, WHOLE, Days, claim, locked, manifest_of
from jobs.spark.daily_writer import Written
from jobs.spark.parquet_source import events, requests
from schemas.errors import SettingError
from schemas.schema import SHIPPED, SchemaSet

PLAN = load(None, None)
DAY = 15_979  # 2013-10-01
SCHEMA = pa.schema({"x": pa.int64()})


def version(**options: Any) -> DataVersion:
    return DataVersion.of(
        PLAN.services["flight_delay"], schemas={}, options=options, files={}, code=CodeVersion(release="0", sources_sha256="ab")
    )


A, B = version(as_known=False), version(as_known=True)


def commit(days: Days, day: int = DAY) -> None:
    (days.scratch / "w.parquet").write_bytes(b"made")
    days.commit(Written(day=day, file="w.parquet", rows=2, bytes=4, sha256="00"), expected=2)


def killed_while_begun_anew(folder: Path) -> None:
    """As `--overwrite` leaves it when it is killed after its first step."""
    with Days.open(folder, A) as days:
        commit(days)
        days.finish({}, SCHEMA)
    (folder / WHOLE).unlink()
    (folder / STATE / MADE_OF).unlink()


def test_what_was_committed_is_done_in_the_next_run(tmp_path: Path) -> None:
    with Days.open(tmp_path, A) as days:
        commit(days)
    with Days.open(tmp_path, A) as days:
        assert days.done() == {DAY: 2}
    with pytest.raises(SettingError, match=r"begun with other inputs \(option as_known: false → true\)"), Days.open(tmp_path, B):
        pass


@pytest.mark.parametrize("made_of", [A, B], ids=["the same", "another"])
def test_an_overwrite_that_was_killed_leaves_no_day_that_counts_as_done(tmp_path: Path, made_of: DataVersion) -> None:
    killed_while_begun_anew(tmp_path)
    with (
        pytest.raises(SettingError, match="has days of an --overwrite that was stopped; say --overwrite again"),
        Days.open(tmp_path, made_of),
    ):
        pass
    with Days.open(tmp_path, made_of, overwrite=True) as days:
        assert days.done() == {}
        commit(days, DAY + 1)
        days.finish({}, SCHEMA)
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == ["2013-10-02.parquet"]
    assert [day["file"] for day in manifest_of(tmp_path)["days"]] == ["2013-10-02.parquet"]


def test_a_day_of_another_version_is_not_done(tmp_path: Path) -> None:
    with Days.open(tmp_path / "a", A) as days:
        commit(days)
    with Days.open(tmp_path / "b", B) as days:
        for name in ("2013-10-01.parquet", f"{STATE}/2013-10-01.json"):
            (tmp_path / "b" / name).write_bytes((tmp_path / "a" / name).read_bytes())
        assert days.done() == {}


def test_what_is_not_ours_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "theirs.parquet").write_bytes(b"theirs")
    with pytest.raises(SettingError, match="was not written by this command"), Days.open(tmp_path, A, overwrite=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.parquet"]


def test_of_no_requests_there_is_a_file_with_their_columns(tmp_path: Path) -> None:
    with Days.open(tmp_path, A) as days:
        days.finish({}, SCHEMA)
    assert pq.read_table(tmp_path).schema.names == ["x"]


def test_a_fault_of_something_else_is_not_told_as_one_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ConnectionRefusedError), Days.open(tmp_path, A):
        raise ConnectionRefusedError("Spark's Java has died")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with Days.open(tmp_path, A) as days:
        days.scratch.rmdir()
        with pytest.raises(SettingError, match=f"^--out: {tmp_path} cannot be written: No such file or directory$"):
            days.commit(Written(day=DAY, file="gone.parquet", rows=2, bytes=4, sha256="00"), expected=2)


LONG = "x" * 300
"""A name that no file system takes: every look at it fails, as at a folder that one may not enter."""


def test_a_path_that_cannot_be_looked_at_is_one_line(tmp_path: Path) -> None:
    said = f"{tmp_path / LONG} cannot be {{}}: File name too long$"
    source, schemas = PLAN.sources["departures"], SchemaSet.load(SHIPPED)
    with pytest.raises(SettingError, match=f"^--out: {said.format('written')}"):
        claim(tmp_path / LONG)
    with pytest.raises(SettingError, match=f"^--out: {said.format('written')}"), locked(tmp_path / LONG, tmp_path / LONG / "lock"):
        pass
    nobody: Any = None  # no session is asked
    with pytest.raises(SettingError, match=f"^--requests: {said.format('read')}"):
        requests(nobody, tmp_path / LONG, source, schemas.current(source.schema))
    with pytest.raises(SettingError, match=f"^--events: {said.format('read')}"):
        events(nobody, tmp_path / LONG, source, schemas.current(source.schema))
