"""Features without a window, backfilled: however a history is cut into ranges and groups, everything before counts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from features.plan import RequestFeature, ServicePlan, SourcePlan, ViewPlan
from jobs.spark import backfill, lifetime
from jobs.spark.backfill import Backfill
from jobs.spark.partitioning import DAY_MS
from jobs.spark.session import session
from schemas.schema import SchemaSet
from schemas.types import DataType
from tests.features.kernel.example import DELAY_MS, EVER_QUESTIONS, EVER_VIEW, SOURCE, TILE_MS
from tests.features.kernel.test_kernel_is_the_oracle import assert_same, inputs_of, values
from tests.inference.example import REQUEST
from tests.oracle import answers

pytestmark = pytest.mark.e2e

START_MS = 1_380_585_600_000  # midnight
DAYS = 4
AVRO = {
    DataType.STRING: "string",
    DataType.INT64: "long",
    DataType.FLOAT64: "double",
    DataType.BOOLEAN: "boolean",
    DataType.TIMESTAMP: {"type": "long", "logicalType": "timestamp-millis"},
}
SOME = ("count_5m", "count_ever", "sum_i", "last_word_by_seq", "variance_x", "topk_word", "max_at")


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("tests") as running:
        yield running


def part_of(view: ViewPlan, windows: tuple[str, ...]) -> ViewPlan:
    """Some of the features, and what they are made of."""
    features = tuple(f for f in view.features if f.name.startswith(SOME) and f.name.removesuffix("_0").removesuffix("_1").endswith(windows))
    names = {partial.name for feature in features for partial in feature.partials}
    return replace(view, features=features, partials=tuple(p for p in view.partials if p.name in names))


EACH = replace(
    EVER_VIEW, features=tuple(f for f in EVER_VIEW.features if not f.window.is_bounded and not {"i", "flag", "at"} & set(f.name.split("_")))
)
"""Every aggregation since ever, of one column of numbers and one of text."""

BOTH, ONLY = part_of(EVER_VIEW, ("5m", "ever")), part_of(EVER_VIEW, ("ever",))


def schema_of(folder: Path, source: SourcePlan) -> None:
    fields: list[dict[str, Any]] = [
        {"name": name, "type": ["null", AVRO[type_]], "default": None} if name in source.nullable else {"name": name, "type": AVRO[type_]}
        for name, type_ in source.columns.items()
    ]
    (folder / f"{source.schema}.avsc").write_text(json.dumps({"type": "record", "name": source.schema, "fields": fields}))


def events_of(dice: random.Random) -> list[dict[str, Any]]:
    """Some days of a busy key and a quiet one, in no order of time; many at the edges of tiles and days."""
    rows = []
    for _ in range(220):
        edge = dice.randrange(DAYS) * DAY_MS + dice.choice([-1, 0, 1, TILE_MS, 12 * 3_600_000, -DELAY_MS, -TILE_MS - DELAY_MS])
        at = START_MS + dice.choice([edge, dice.randrange(DAYS * DAY_MS), dice.randrange(DAYS * 24) * 3_600_000])
        rows.append(
            {
                "key": dice.choice(["a", "a", "a", "b"]),
                "t": at,
                "x": dice.choice([None, 0.0, 1e9 + dice.randint(0, 1000) / 1024, dice.uniform(-1e6, 1e6)]),
                "i": dice.choice([None, dice.randint(-5, 5)]),
                "word": dice.choice([None, "", "a", "é", "a,\\b"]),
                "flag": dice.choice([None, True]),
                "at": dice.choice([None, at // 1000]),
                "seq": dice.choice([None, 0, 1]),
            }
        )
    return rows


def given(folder: Path) -> tuple[list[dict[str, Any]], list[tuple[str | None, int]]]:
    """Events and requests, as files."""
    dice = random.Random(11)
    events = events_of(dice)
    asked: list[tuple[str | None, int]] = [
        (dice.choice(["a", "b", "silent", None]), START_MS + dice.choice([dice.randrange(DAYS * DAY_MS), dice.randrange(DAYS) * DAY_MS]))
        for _ in range(80)
    ]
    asked = sorted(((k, t) for k, t in asked if (t - START_MS) // DAY_MS != 1), key=lambda row: row[1] // DAY_MS)  # one day has none
    (folder / "schemas").mkdir()
    for source in (SOURCE, REQUEST):
        schema_of(folder / "schemas", source)
    _write(folder / "events" / "events" / "a.parquet", SOURCE, events)
    rows = [{"id": str(n), "at": at, "key": key, "zone": 0, "amount": None} for n, (key, at) in enumerate(asked)]
    _write(folder / "requests.parquet", REQUEST, rows)
    return events, asked


def _write(path: Path, source: SourcePlan, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {}
    for name, type_ in source.columns.items():
        column = pa.array([row[name] for row in rows], pa.int64() if type_ is DataType.TIMESTAMP else type_.arrow)
        columns[name] = column.cast(type_.arrow)
    pq.write_table(pa.table(columns), path)


def wanted(folder: Path, view: ViewPlan, **options: Any) -> Backfill:
    own = RequestFeature(name="key", expression=_key())
    service = ServicePlan(name="ever", request=REQUEST, views=(view,), request_features=(own,), label=None)
    schemas = SchemaSet.load(folder / "schemas")
    return Backfill(service=service, schemas=schemas, events=folder / "events", requests=folder / "requests.parquet", **options)


def _key() -> Any:
    from features.expressions.expression import parse

    return parse("key", REQUEST.columns, REQUEST.nullable, where="key")


def check(view: ViewPlan, table: pa.Table, events: list[dict[str, Any]], asked: list[tuple[str | None, int]]) -> None:
    own = {feature.name for feature in view.features}
    columns = {name: values(table[name].combine_chunks()) for name in own}
    assert table["id"].to_pylist() == [str(number) for number in range(len(asked))]
    for number, (key, as_of) in list(enumerate(asked))[:: len(own) // 60 + 1]:
        said = answers(
            EVER_QUESTIONS,
            events,
            time="t",
            belongs=lambda event, key=key: bool(event["key"] == key),  # type: ignore[misc]
            as_of_ms=as_of,
            tile_ms=TILE_MS,
            delay_ms=DELAY_MS,
        )
        for question in EVER_QUESTIONS:
            if question.name in own:
                assert_same(question, columns[question.name][number], said[question.name], inputs_of(question, events, key, as_of))


def test_every_aggregation_since_ever_is_the_oracle(spark: SparkSession, tmp_path: Path) -> None:
    names = {partial.name for feature in EACH.features for partial in feature.partials}
    whole = replace(EACH, partials=tuple(partial for partial in EACH.partials if partial.name in names))
    own = {question.aggregation for question in EVER_QUESTIONS if question.name in {feature.name for feature in whole.features}}
    assert own == {question.aggregation for question in EVER_QUESTIONS}
    events, asked = given(tmp_path)
    summary = backfill.compute(spark, wanted(tmp_path, whole, group_rows=120), tmp_path / "out")
    assert summary.whole
    check(whole, pq.read_table(tmp_path / "out"), events, asked)


def test_cut_by_keys_and_time_the_values_are_the_oracle(spark: SparkSession, tmp_path: Path) -> None:
    events, asked = given(tmp_path)
    summary = backfill.compute(spark, wanted(tmp_path, ONLY, group_rows=1), tmp_path / "out")
    assert summary.whole
    check(ONLY, pq.read_table(tmp_path / "out"), events, asked)


def test_each_range_and_a_resumed_one_has_all_of_the_past(spark: SparkSession, tmp_path: Path) -> None:
    events, asked = given(tmp_path)
    cut = wanted(tmp_path, BOTH, range_rows=1)
    backfill.compute(spark, cut, tmp_path / "out")
    check(BOTH, pq.read_table(tmp_path / "out"), events, asked)
    (tmp_path / "out" / "_tidemark" / "2013-10-03.json").unlink()
    summary = backfill.compute(spark, cut, tmp_path / "out")
    assert (summary.whole, summary.resumed) == (True, 2)
    check(BOTH, pq.read_table(tmp_path / "out"), events, asked)


def test_where_the_past_cannot_be_merged_no_day_is_written(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(tmp_path)
    monkeypatch.setattr(lifetime, "tile_query", lambda view, as_known: "SELECT * FROM nowhere")
    summary = backfill.compute(spark, wanted(tmp_path, BOTH, range_rows=1), tmp_path / "out")
    assert (summary.whole, summary.done, len(summary.failed)) == (False, {}, 3)


def test_where_the_cluster_keeps_its_files_elsewhere_the_past_still_counts(spark: SparkSession, tmp_path: Path) -> None:
    """As with HDFS for the default file system: a path without a scheme is another place to Spark than to Python."""
    events, asked = given(tmp_path)
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    before = hadoop.get("fs.defaultFS")
    (tmp_path / "elsewhere").mkdir()
    hadoop.set(f"fs.viewfs.mounttable.elsewhere.link./{tmp_path.parts[1]}", (tmp_path / "elsewhere").as_uri())
    hadoop.set("fs.defaultFS", "viewfs://elsewhere/")
    try:
        backfill.compute(spark, wanted(tmp_path, BOTH, range_rows=1), tmp_path / "out")
    finally:
        hadoop.set("fs.defaultFS", before)
    check(BOTH, pq.read_table(tmp_path / "out"), events, asked)
    assert not list((tmp_path / "elsewhere").iterdir())
