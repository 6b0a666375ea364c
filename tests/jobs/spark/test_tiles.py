"""Spark's tiles, folded by the kernel, say what the oracle says of the raw events."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.compiler.spark import PIECE, WATERMARK, tile_query
from features.kernel.fold import fold
from features.partials.map_partial import MapPartial
from features.plan import SourcePlan, ViewPlan
from features.point_in_time import AS_OF, ROW, Folder
from features.tolerances import differences, view_rules
from jobs.spark.session import session
from tests.features.kernel.example import DELAY_MS, QUESTIONS, TILE_MS, VIEW, build_tiles
from tests.features.kernel.test_kernel_is_the_oracle import AUTUMN_DST_DAY_MS, DST_DAY_MS, assert_same
from tests.features.prepared import prepared
from tests.features.vocabulary.every_aggregation import every, history
from tests.oracle import Question, answers, in_time, without_repeats

pytestmark = pytest.mark.e2e

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("tests") as running:
        yield running


@dataclass(frozen=True, kw_only=True)
class Case:
    """A random history: events with disorder, ties, nulls, extremes, repeats and late ones; and questions at the edges of tiles."""

    events: list[dict[str, Any]]
    rows: list[tuple[str | None, int]]


def case(seed: int) -> Case:
    rng = random.Random(seed)
    origin = rng.choice([0, -3 * TILE_MS, -(10**12), DST_DAY_MS, AUTUMN_DST_DAY_MS])

    def time() -> int:
        edge = rng.choice([-1, 0, 1, 4, 5, 6, 179, 180, 181]) * TILE_MS + rng.choice([-1, 0, 1])
        return origin + rng.choice([edge, rng.randint(-2 * TILE_MS, 200 * TILE_MS)])

    def event() -> dict[str, Any]:
        at = time()
        return {
            "id": f"{seed}-{rng.randint(0, 9)}",
            "key": rng.choice(["a", "b", None]),
            "t": at,
            "x": rng.choice([None, 0.0, -0.0, 1e9 + rng.randint(0, 1000) / 1024, 1e300, -1e300, rng.uniform(-1e6, 1e6)]),
            "i": rng.choice([None, rng.randint(-5, 5), 2**62, -(2**62), 2**63 - 1, -(2**63)]),
            "word": rng.choice([None, "", "a", "B", "b", "ä", "\U0001f600", "\uffff", "it's $1 \\ `", "a,\\b", "\\s, ,"]),
            "flag": rng.choice([None, True, False]),
            "at": rng.choice([None, rng.randint(-(10**13), 10**13)]),
            "seq": rng.choice([None, 0, 1, 2]),
            WATERMARK: rng.choice([None, None, at - 5_000, at + rng.randint(-TILE_MS, 2 * TILE_MS)]),
        }

    events = [event() for _ in range(rng.randint(0, 14))]
    for _ in range(rng.randint(0, 4)):  # repeats, whole ones and ones that differ
        if events:
            events.append(rng.choice(events) | rng.choice([{}, {"x": 2.0}, {"i": None}, {"key": "b"}, {WATERMARK: None}]))
    rng.shuffle(events)
    return Case(events=events, rows=[(rng.choice(["a", "b", "silent", None]), time() + rng.choice([0, DELAY_MS])) for _ in range(4)])


CASES = [case(seed) for seed in range(150)]


def view_of(*, dedupe: bool, where: bool) -> ViewPlan:
    columns = {"id": VIEW.keys[0].type} | dict(VIEW.source.columns)
    source: SourcePlan = replace(
        VIEW.source, columns=columns, nullable=VIEW.source.nullable | {"key"}, id="id", dedupe_ms=HOUR_MS if dedupe else None
    )
    condition = next(partial.where for partial in VIEW.partials if partial.where is not None) if where else None
    return replace(VIEW, source=source, where=condition)


@pytest.mark.parametrize(
    ("as_known", "dedupe", "pieces", "where"),
    [  # each pair of choices
        (False, False, False, True),
        (True, False, False, False),
        (False, True, False, False),
        (True, True, False, True),
        (False, True, True, True),
        (True, True, True, False),
    ],
)
def test_tiles_folded_by_the_kernel_are_the_oracle(spark: SparkSession, as_known: bool, dedupe: bool, pieces: bool, where: bool) -> None:
    view = view_of(dedupe=dedupe, where=where)
    apart = [event | {"key": event["key"] and f"{n}:{event['key']}"} for n, each in enumerate(CASES) for event in each.events]
    relation(spark, view.source, apart)
    if pieces:
        in_pieces(spark, view.source)
    tiles = spark.sql(tile_query(view, as_known, in_pieces=pieces)).toArrow()
    asked = [(key and f"{n}:{key}", as_of) for n, each in enumerate(CASES) for key, as_of in each.rows]
    requests = pa.table(
        {
            ROW: pa.array(range(len(asked)), pa.int64()),
            AS_OF: pa.array([as_of for _, as_of in asked], pa.int64()),
            "key": pa.array([key for key, _ in asked], pa.string()),
        }
    )
    folded = Folder(view=view)(requests, tiles)
    got = [plain(row) for row in folded.to_pylist()]
    position = 0
    for each in CASES:
        counted = expected_events(view, each.events, as_known)
        for key, as_of in each.rows:
            said = oracle(QUESTIONS, counted, key, as_of)
            for question in QUESTIONS:
                values = [] if question.value is None else [question.value(event) for event in counted]
                numbers = [value for value in values if isinstance(value, int | float)]
                if question.aggregation in ("Variance", "StdDev") and any(abs(value) > 1e150 for value in numbers):
                    continue  # a square beyond doubles; the kernel's own tests say what then holds
                assert_same(question, got[position][question.name], said[question.name], numbers)
            position += 1


def test_every_aggregation_found_is_in_spark_what_prepared_events_make(spark: SparkSession) -> None:
    view, events = every(), history(1, 300, keys="abcd")
    owners = {key: number for number, key in enumerate("abcd")}
    relation(spark, view.source, [event | {WATERMARK: None} for event in events])
    tiles = spark.sql(tile_query(view, as_known=True)).toArrow()
    keys: Any = {"key": pa.array(list("abcd")), ROW: pa.array(range(4), pa.int64()), AS_OF: pa.array([60 * TILE_MS] * 4, pa.int64())}
    got = Folder(view=view)(pa.table(keys), tiles)
    boundary = view.boundary_ms(np.full(4, 60 * TILE_MS))
    expected = fold(view, prepared(view, events, owners), owner=np.arange(4), boundary_ms=boundary)
    rules = view_rules(view)
    for feature in view.features:
        apart = differences(got.column(feature.name), pa.chunked_array([expected[feature.name]]))
        assert apart.max() <= rules[feature.name].allowed, feature.name


def test_the_maps_of_tiles_are_the_loops_to_the_byte(spark: SparkSession) -> None:
    view = view_of(dedupe=False, where=False)
    events = [event | {"key": event["key"] and f"{n}:{event['key']}"} for n, each in enumerate(CASES) for event in each.events]
    edges = [2.0**e * m for e in (-1022, -1, 0, 1, 52, 1023) for m in (1.0, 1 + 2.0**-52, 2 - 2.0**-52, 1 + 1 / 64)]
    edges += [2.0**-1023, 5e-324, *(2.0**e * (1 - 2.0**-53) for e in range(-1021, 1024)), *(2.0**e for e in range(-1022, 1024))]
    blank = dict.fromkeys(view.source.columns) | {"id": "e", "key": "edges", "t": 0, WATERMARK: None}
    events += [blank | {"x": sign * x} for x in edges for sign in (1, -1)] + [blank | {"word": f"w{n}", "i": n} for n in range(3_000)]
    events += [blank | {"key": "many", "word": f"w{n:0{97 - (n == 0)}}"} for n in range(1_000 + 1)]
    relation(spark, view.source, events)
    maps = [partial.name for partial in view.partials if isinstance(partial, MapPartial) and not partial.name.startswith("latest_2_x")]
    got = {(row["key"], row["tile_start"].timestamp() * 1000): row for row in spark.sql(tile_query(view, True)).toArrow().to_pylist()}
    expected = [row for row in build_tiles(view, events) if row["key"] is not None]
    assert len(got) == len(expected) > 100
    for row in expected:
        assert {name: got[row["key"], row["tile_start"]][name] for name in maps} == {name: row[name] for name in maps}


def relation(spark: SparkSession, source: SourcePlan, events: list[dict[str, Any]]) -> None:
    """The events as the relation that the SQL reads."""
    types = {name: type_.arrow for name, type_ in source.columns.items()} | {WATERMARK: pa.int64()}
    table = pa.table({name: pa.array([event[name] for event in events], type_) for name, type_ in types.items()})
    spark.createDataFrame(table).createOrReplaceTempView(source.name)


def in_pieces(spark: SparkSession, source: SourcePlan) -> None:
    """The same relation, partitioned by pieces of three tiles."""
    time = F.unix_millis(source.event_time)
    piece = time - F.pmod(time, F.lit(3 * TILE_MS))
    spark.table(source.name).withColumn(PIECE, piece).repartition(3, F.col(f"`{PIECE}`")).createOrReplaceTempView(source.name)


def test_events_in_pieces_are_exchanged_once(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    view = view_of(dedupe=True, where=False)
    relation(spark, view.source, CASES[0].events)
    in_pieces(spark, view.source)
    assert any(isinstance(partial, MapPartial) for partial in view.partials)  # whose steps are joined
    exchanges = {}
    for pieces in (True, False):
        spark.sql(tile_query(view, True, in_pieces=pieces)).explain()
        exchanges[pieces] = {
            line.split("hashpartitioning(")[1].split("#")[1 if pieces else 0]
            for line in capsys.readouterr().out.splitlines()
            if "hashpartitioning" in line
        }
    assert exchanges[True] == {"piece"}
    assert len(exchanges[False]) > 1


def expected_events(view: ViewPlan, events: list[dict[str, Any]], as_known: bool) -> list[dict[str, Any]]:
    """Late ones out, then repeats, then what the view does not want."""
    counted: list[Any] = [
        event for event in events if as_known or in_time(event, time="t", tile_ms=view.tile_ms, watermark_ms=event[WATERMARK])
    ]
    if view.source.dedupe_ms is not None:
        counted = without_repeats(counted, id="id", time="t", fields=list(view.source.columns))
    return [event for event in counted if event["key"] is not None and (view.where is None or (event["i"] is not None and event["i"] > 0))]


def oracle(questions: list[Question], events: list[dict[str, Any]], key: str | None, as_of: int) -> dict[str, Any]:
    return answers(
        questions, events, time="t", belongs=lambda event: bool(event["key"] == key), as_of_ms=as_of, tile_ms=TILE_MS, delay_ms=DELAY_MS
    )


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Times as ms."""
    return {name: round(value.timestamp() * 1000) if hasattr(value, "timestamp") else value for name, value in row.items()}
