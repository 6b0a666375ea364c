"""Files from anywhere through Spark: what backfill, predict, bootstrap, correct, rebuild and parity read is what publish reads, or is refused alike."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.compiler.spark import WATERMARK
from features.point_in_time import FILE, POSITION
from jobs.spark import backfill, parquet_source
from jobs.spark.backfill import Backfill
from jobs.spark.relation import census, refuse
from jobs.spark.session import session, told
from jobs.spark.tiles_of_history import Wanted, staged
from schemas.errors import DataError
from tests import tables
from tests.tables import AT_MS, Row, in_order
from tests.tables.cases import ACCEPTED, NULLS, REFUSED, US, Case, file, instant, one

pytestmark = pytest.mark.e2e

PLAN, SCHEMAS = tables.plan(), tables.schemas()
READING = SCHEMAS.current("reading")
SOURCE, VIEW = PLAN.sources["readings"], PLAN.views["card_readings"]
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("tables") as running:
        yield running


@pytest.fixture(scope="module")
def read(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[Row]]]:
    """Case → its rows as requests and as events; all in one job."""
    folder, parts = tmp_path_factory.mktemp("tables"), []
    for number, case in enumerate(ACCEPTED):
        events = folder / str(number)
        case.write(events / "readings")
        asked = parquet_source.requests(spark, events / "readings", SOURCE, READING).rows.drop(FILE, POSITION)
        for side, rows in enumerate((asked, parquet_source.events(spark, events, SOURCE, READING).rows)):
            parts.append(rows.select(F.lit(number).alias("case"), F.lit(side).alias("side"), "*"))
    found: dict[str, list[list[Row]]] = {case.name: [[], []] for case in ACCEPTED}
    for row in reduce(DataFrame.unionAll, parts).collect():
        values = row.asDict()
        assert values.pop(WATERMARK) is None
        found[ACCEPTED[values.pop("case")].name][values.pop("side")].append(values)
    return found


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_spark_reads_what_every_reader_reads(read: dict[str, list[list[Row]]], case: Case) -> None:
    asked, happened = read[case.name]
    assert in_order(asked) == in_order(happened) == in_order(list(case.rows))


def asked(folder: Path, requests: Path | None = None) -> Backfill:
    return Backfill(
        service=PLAN.services["asked"], schemas=SCHEMAS, events=folder, requests=requests or folder / "readings", as_known=False
    )


OF_VALUES = ("cannot be read as", " in row ", "beyond the years")
BY_TYPE = [case for case in REFUSED if case.refused is not None and not any(words in case.refused for words in OF_VALUES)]
BY_VALUE = [case for case in REFUSED if case not in BY_TYPE]


@pytest.mark.parametrize("case", BY_TYPE, ids=lambda case: case.name)
def test_spark_refuses_in_the_same_words(spark: SparkSession, tmp_path: Path, case: Case) -> None:
    case.write(tmp_path / "readings")
    with pytest.raises(DataError) as caught:
        backfill.compute(spark, asked(tmp_path), tmp_path / "out")
    assert str(caught.value).startswith(f"{tmp_path / 'readings' / case.file}: {case.refused}")


@pytest.mark.parametrize("case", BY_VALUE, ids=lambda case: case.name)
def test_a_value_that_cannot_be_held_is_refused_by_the_worker_in_the_same_words(spark: SparkSession, tmp_path: Path, case: Case) -> None:
    case.write(tmp_path / "readings")
    with pytest.raises(DataError) as caught, told():
        backfill.compute(spark, asked(tmp_path), tmp_path / "out")
    assert str(caught.value) == f"{tmp_path / 'readings' / case.file}: {case.refused}"


def test_nulls_where_none_are_allowed_are_rows_that_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    for number, case in enumerate(NULLS):
        case.write(tmp_path / "readings" / str(number))
    relation = parquet_source.events(spark, tmp_path, SOURCE, READING)
    (counted,) = census([("readings", relation.rows, relation)]).values()
    assert str(counted.tally) == "readings: 3 rows, 3 refused (amount is null: 1, items is null: 2)"


def test_times_beyond_the_years_of_records_are_rows_that_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    far = {name: instant(value, pa.timestamp("ms")) for name, value in (("event_time", 253_402_300_800_000), ("seen", -(2**63)))}
    file(tmp_path / "readings" / "a.parquet", {"event_time": far["event_time"]})
    file(tmp_path / "readings" / "b.parquet", {"event_time": far["seen"], "items": one(1, pa.uint64())})
    file(tmp_path / "readings" / "c.parquet", {"seen": far["seen"]})
    relation = parquet_source.events(spark, tmp_path, SOURCE, READING)
    (counted,) = census([("readings", relation.rows, relation)]).values()
    assert str(counted.tally) == (
        "readings: 3 rows, 3 refused (event_time is not in the years 1 to 9999: 2, seen is not in the years 1 to 9999: 1)"
    )
    assert refuse(relation.rows, relation).count() == 0


def test_a_backfill_and_a_bootstrap_count_what_folders_names_say(spark: SparkSession, tmp_path: Path) -> None:
    for key in ("card=k1", "card=007", "card=__HIVE_DEFAULT_PARTITION__"):
        file(tmp_path / "readings" / key / "a.parquet", {"id": pa.array([key])})
    requests = tmp_path / "asked"
    for key in ("card=k1", "card=7"):
        file(requests / key / "a.parquet", {"id": pa.array([key]), "event_time": instant(AT_MS + HOUR_MS // 2, pa.timestamp("ms"))})
    out = tmp_path / "out"
    backfill.compute(spark, asked(tmp_path, requests), out)
    rows = [row for path in sorted(out.glob("*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()]
    assert {(row["card"], row["count_1h"], row["amount_1h"]) for row in rows} == {("k1", 1, 1.5), ("7", 0, 0.0)}
    wanted = Wanted(views=(VIEW,), schemas=SCHEMAS, events=tmp_path, as_known=False, late_only=False)
    ((_, made),) = staged(spark, wanted, tmp_path / "tiles")
    assert {row["card"] for row in spark.read.parquet(str(made)).collect()} == {"k1", "007"}


def test_ordinary_files_are_read_by_spark_itself_and_keep_their_order_among_others(spark: SparkSession, tmp_path: Path) -> None:
    names = ["a b+ü#1", "a%20b", "a-b", "ä=1,2"]
    for number, name in enumerate(names):
        own = {"id": pa.array([name]), "event_time": instant(US, pa.timestamp("us")), "items": one(1, pa.uint64() if number % 2 else None)}
        file(tmp_path / "plain" / name / "a.parquet", own | {"items": one(1, None)})
        file(tmp_path / "mixed" / name / "a.parquet", own)
    plain, mixed = (parquet_source.requests(spark, tmp_path / folder, SOURCE, READING).rows for folder in ("plain", "mixed"))
    assert "MapInArrow" not in explained(plain)
    assert "MapInArrow" in explained(mixed)
    assert [row["id"] for row in mixed.orderBy(FILE, POSITION).collect()] == [row["id"] for row in plain.orderBy(FILE, POSITION).collect()]
    named = {row["id"]: row[FILE].replace("/mixed/", "/plain/") for row in mixed.collect()}
    assert named == {row["id"]: row[FILE] for row in plain.collect()}


def explained(rows: DataFrame) -> str:
    return str(rows._jdf.queryExecution().toString())
