"""Files from anywhere, through every reader that needs no engine: equal values, or the same refusal. (Through Spark: tests/jobs/spark/test_parquet_source.)"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.point_in_time import FILE, POSITION
from features.versions.plan_diff import ALL_HISTORY_MS
from jobs.cli import features, publish
from jobs.cli.main import main
from jobs.control.missing_history import measure
from jobs.parity import staging
from jobs.parity.staging import Staging
from jobs.spark import history, parquet_source
from jobs.spark.arrow_reader import ArrowReader, pieces
from jobs.spark.parquet_layout import layout_of
from schemas import parquet
from schemas.errors import DataError, SettingError
from schemas.parquet import ParquetFile
from tests import tables
from tests.tables import AT_MS, Row, in_order
from tests.tables.cases import ACCEPTED, NULLS, REFUSED, US, Case, file, instant, one

PLAN, SCHEMAS = tables.plan(), tables.schemas()
READING = SCHEMAS.current("reading")
ASKED = PLAN.services["asked"]
VIEW = PLAN.views["card_readings"]

Reader = Callable[[Path], list[Row]]


def by_publish(path: Path) -> list[Row]:
    return publish.events_in(path, READING).to_pylist()


def by_features(path: Path) -> list[Row]:
    return pa.concat_tables(features.read_requests(path, ASKED, SCHEMAS)).to_pylist()


def by_parity(path: Path) -> list[Row]:
    """Of requests it stages their ids and times alone; each column is read all the same."""
    stage = Staging(folder=path.parent / "staged", schema=READING.arrow, time="event_time")
    staging.requests_of_files(stage, path, READING)
    return pa.concat_tables(
        [pq.ParquetFile(part).read().drop_columns([history.ORDER]) for part in sorted(stage.folder.iterdir())]
    ).to_pylist()


def by_worker(path: Path) -> list[Row]:
    """What Spark's workers do with the files that Spark does not read itself; here with all of them, in pieces of one row group."""
    files = [ParquetFile.open(each, root=path) for each in parquet.files_of(path, what="x")]
    for each in files:
        each.check(READING.fields)
    cut = tuple(piece for each in files for piece in pieces(each, path, 1))
    reader = ArrowReader(pieces=cut, fields=READING.fields, placed=True)
    numbers: Any = pa.record_batch({"id": pa.array(range(len(cut)), pa.int64())})
    read = [row for batch in reader.read([numbers]) for row in batch.to_pylist()]
    assert len({(row[FILE], row[POSITION]) for row in read}) == len(read)
    return [{name: value for name, value in row.items() if name not in (FILE, POSITION)} for row in read]


STRICT: dict[str, Reader] = {"publish": by_publish, "features": by_features, "parity": by_parity}
READERS: dict[str, Reader] = STRICT | {"worker": by_worker}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_every_reader_reads_the_same(tmp_path: Path, case: Case, reader: Reader) -> None:
    case.write(tmp_path / "readings")
    assert in_order(reader(tmp_path / "readings")) == in_order(list(case.rows))


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_the_count_of_history_counts_the_same(tmp_path: Path, case: Case) -> None:
    case.write(tmp_path / "readings")
    size = measure(VIEW, (ALL_HISTORY_MS, 0), tmp_path / "readings", READING)
    times = [row["event_time"] for row in case.rows]
    assert size is not None
    assert (size.events, size.from_ms, size.until_ms) == (len(times), min(times), max(times) + 1)
    assert size.tiles == len({(row["card"], row["event_time"] // VIEW.tile_ms) for row in case.rows})


@pytest.mark.parametrize(
    "reader", [*READERS.values(), lambda path: measure(VIEW, (ALL_HISTORY_MS, 0), path, READING)], ids=[*READERS, "size"]
)
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_every_reader_refuses_in_the_same_words(tmp_path: Path, case: Case, reader: Reader) -> None:
    case.write(tmp_path / "readings")
    with pytest.raises(DataError) as caught:
        reader(tmp_path / "readings")
    said = str(caught.value)
    assert "\n" not in said
    assert case.refused is not None
    assert said.startswith(expected := f"{tmp_path / 'readings' / case.file}: {case.refused}")
    assert said == expected or case.refused == "not a readable Parquet file"


@pytest.mark.parametrize("reader", STRICT.values(), ids=STRICT)
@pytest.mark.parametrize("case", NULLS, ids=lambda case: case.name)
def test_a_null_where_none_is_allowed_is_refused_by_its_row(tmp_path: Path, case: Case, reader: Reader) -> None:
    case.write(tmp_path / "readings")
    with pytest.raises(DataError) as caught:
        reader(tmp_path / "readings")
    assert str(caught.value) == f'{tmp_path / "readings" / case.file}: column "{case.nulls}" is null in row 1; the schema allows none'
    size = measure(VIEW, (ALL_HISTORY_MS, 0), tmp_path / "readings", READING)
    assert size is not None
    assert (size.events, size.tiles) == (0, 0)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_folder_that_holds_a_value_may_be_named_itself_or_its_file(tmp_path: Path, reader: Reader) -> None:
    folder = tmp_path / "user=x" / "readings" / "card=k" / "items=7"
    file(folder / "a.parquet", {})
    for path in (folder.parent, folder, folder / "a.parquet"):
        assert in_order(reader(path)) == [tables.row(card="k", items=7)]


def test_the_row_of_a_fault_is_the_files_whatever_the_row_groups(tmp_path: Path) -> None:
    count = 70_000
    columns: dict[str, Any] = {
        "id": pa.array(["a"] * count),
        "event_time": pa.array([AT_MS] * count, pa.timestamp("ms")),
        "amount": pa.array([1.5] * count),
        "items": pa.array([None if number == 69_999 else number for number in range(count)], pa.int64()),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=1_000)
    for reader in STRICT.values():
        with pytest.raises(DataError, match=r'column "items" is null in row 70,000; the schema allows none$'):
            reader(tmp_path / "a.parquet")


def test_columns_alone_in_folders_names_have_as_many_rows_as_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "id=a" / "event_time=2026-01-05" / "amount=1.5"
    file(folder / "a.parquet", {"id": None, "event_time": None, "amount": None, "other": pa.array([1, 2, 3])})
    rows = by_features(tmp_path)
    assert [(row["id"], row["amount"]) for row in rows] == [("a", 1.5)] * 3


def test_a_command_says_it_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(tables.DEFINITIONS))
    monkeypatch.setenv("TIDEMARK_SCHEMAS", str(tables.SCHEMAS))
    file(tmp_path / "readings" / "a.parquet", {"items": one(2**63, pa.uint64())})
    (tmp_path / "empty").mkdir()
    for name, code, said in [
        ("readings", 4, f'{tmp_path}/readings/a.parquet: column "items" cannot be read as int64: '),
        ("nowhere", 2, f"publish: {tmp_path}/nowhere does not exist; it is a Parquet file, or a folder of them"),
        ("empty", 2, f"publish: {tmp_path}/empty holds no Parquet file"),
    ]:
        assert main(["publish", "readings", str(tmp_path / name)]) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"tidemark: {said}")


@pytest.mark.parametrize("column", ["amount", "items", "card", "event_time", "seen"])
def test_which_files_spark_reads_itself(tmp_path: Path, column: str) -> None:
    """All that engines commonly write; of a column that Arrow has to read, none."""
    common: dict[str, Any] = {
        "event_time": instant(AT_MS * 1_000_000, pa.timestamp("ns", tz="UTC")),
        "card": pa.array(["k"]).dictionary_encode(),
        "amount": one(2**53, pa.int64()),
        "items": one(1, pa.uint32()),
        "seen": instant(US, pa.timestamp("us")),
        "day": one("x", None),
    }
    other = {"amount": one(1, pa.uint64()), "items": one(1, pa.uint64()), "card": pa.nulls(1), "seen": pa.nulls(1), "event_time": None}
    file(tmp_path / "a.parquet", common)
    fields = (*READING.fields, parquet_source.ARRIVAL)
    assert layout_of(ParquetFile.open(tmp_path / "a.parquet", root=tmp_path), fields) is not None
    folder = tmp_path / "event_time=2026-01-05" if column == "event_time" else tmp_path
    file(folder / "b.parquet", common | {column: other[column]})
    assert layout_of(ParquetFile.open(folder / "b.parquet", root=tmp_path), fields) is None


def test_predictions_are_read_as_all_else_is(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "items": one(7, pa.uint64()),
        "seen": pa.nulls(1),
        "flag": pa.nulls(1),
        "count_1h": one(3, pa.int32()),
        "amount_1h": one(3, pa.int16()),
        "items_1h": pa.nulls(1),
        "frontier": one(AT_MS * 1_000 + 999, pa.int64()).cast(pa.timestamp("us", tz="+05:30")),
    }
    file(tmp_path / "said" / "stale=false" / "card=007" / "a.parquet", given)
    stage = Staging(folder=tmp_path / "staged", schema=staging.prediction_schema(ASKED), time="event_time")
    staging.predictions_of_file(stage, tmp_path / "said", ASKED)
    (row,) = in_order(pq.read_table(stage.folder).to_pylist())
    assert (row["card"], row["items"], row["count_1h"], row["amount_1h"], row["items_1h"]) == ("007", 7, 3, 3.0, None)
    assert (row["frontier"], row["stale"]) == (AT_MS, False)
    file(tmp_path / "said" / "stale=false" / "card=007" / "a.parquet", given | {"count_1h": pa.array(["3"])})
    with pytest.raises(DataError, match=r'a\.parquet: column "count_1h" is string; expected int64$'):
        staging.predictions_of_file(stage, tmp_path / "said", ASKED)


def test_rows_of_many_files_keep_the_order_of_their_paths(tmp_path: Path) -> None:
    assert parquet.parquet_files(tmp_path) == ()
    for name in ("b.parquet", "a/part-7", "a/_temporary/part-8", "c.txt", ".hidden.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert [str(path.relative_to(tmp_path)) for path in parquet.parquet_files(tmp_path)] == ["a/part-7", "b.parquet"]


def test_a_folder_that_may_not_be_looked_into_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    look = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "closed":  # as for anyone but root
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"closed: cannot be read: Permission denied$"):
        parquet.parquet_files(tmp_path)


def test_times_beyond_the_years_of_records_are_no_history(tmp_path: Path) -> None:
    times = pa.array([AT_MS, 253_402_300_800_000, -(2**63)], pa.int64()).cast(pa.timestamp("ms"))
    file(tmp_path / "a.parquet", {"id": pa.array(["a", "b", "c"]), "event_time": times, "amount": pa.array([1.5] * 3)})
    size = measure(VIEW, (ALL_HISTORY_MS, 0), tmp_path, READING)
    assert size is not None
    assert (size.events, size.tiles, size.from_ms, size.until_ms) == (1, 1, AT_MS, AT_MS + 1)


def test_a_file_of_nothing_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^x: .*nowhere does not exist"):
        parquet.files_of(tmp_path / "nowhere", what="x")
    schema = READING.arrow
    pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
    assert all(not reader(tmp_path / "a.parquet") for reader in READERS.values())
