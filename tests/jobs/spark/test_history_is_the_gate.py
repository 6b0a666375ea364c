"""A record of a file is what it would have been on the wire: kept with the same bits, or refused, in history as at the gate."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.plan import SourcePlan
from infra.settings import Settings
from jobs.kafka.decoding import decoder
from jobs.spark import parquet_source
from jobs.spark.relation import census, refuse
from jobs.spark.session import session
from schemas.conform import allowed, conform
from schemas.schema import Schema, SchemaSet, parse
from schemas.wire import Encoder

pytestmark = pytest.mark.e2e

TIME = {"type": "long", "logicalType": "timestamp-millis"}
EARLIEST_MS = 1_356_998_400_000  # 2013
NOON_MS = 1_380_628_800_000
DAY_MS = 86_400_000
INSTANTS = ("event_time", "seen", "day")
TIMES = [NOON_MS, EARLIEST_MS, EARLIEST_MS - 1, NOON_MS // 1000, 0, -1]
FAR_TIMES = [-62_135_596_800_000, -62_135_596_800_001, 253_402_300_799_999, 253_402_300_800_000, NOON_MS * 1000]
WHOLE = [0, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53 + 1]
NUMBERS = [0.1, -0.0, 1e-46, 2.0**24 + 1, 3.4028234663852886e38, 3.4028235677973366e38, 1e39, math.inf, -math.inf, math.nan]
EVENT = {
    "type": "record",
    "name": "event",
    "fields": [
        {"name": "event_time", "type": TIME},
        {"name": "id", "type": "long"},
        {"name": "int", "type": "int"},
        {"name": "long", "type": "long"},
        {"name": "float", "type": "float"},
        {"name": "double", "type": "double"},
        {"name": "any_float", "type": ["null", "float"], "non_finite": True},
        {"name": "seen", "type": ["null", TIME]},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "daytime", "type": {"type": "int", "logicalType": "time-millis"}},
    ],
}
PLAIN: dict[str, Any] = {
    "event_time": NOON_MS,
    "int": 1,
    "long": 1,
    "float": 1.0,
    "double": 1.0,
    "any_float": None,
    "seen": None,
    "day": None,
    "daytime": 1,
}
CHANGES: list[dict[str, Any]] = [
    *({name: time} for name, time in itertools.product(("event_time", "seen"), TIMES + FAR_TIMES)),
    *({"day": time - time % DAY_MS} for time in TIMES),
    *({name: number} for name, number in itertools.product(("int", "long", "daytime"), WHOLE)),
    *({name: number} for name, number in itertools.product(("float", "double", "any_float"), NUMBERS)),
    {"event_time": NOON_MS // 1000, "int": 2**31, "float": math.nan},
]
ROWS = [PLAIN | change for change in CHANGES]


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session("tests") as running:
        yield running


@pytest.fixture(scope="module")
def schema() -> Schema:
    return parse(EVENT, name="event")


def source(schema: Schema, earliest_ms: int | None) -> SourcePlan:
    return SourcePlan(
        name="events",
        topic="events",
        schema="event",
        columns=schema.columns,
        nullable=schema.nullable,
        event_time="event_time",
        lateness_ms=0,
        id="id",
        dedupe_ms=None,
        trusted=False,
        earliest_ms=earliest_ms,
    )


def table() -> pa.Table:
    time = pa.timestamp("ms", tz="UTC")
    types = {"event_time": time, "id": pa.int64(), "int": pa.int64(), "long": pa.int64(), "daytime": pa.int64(), "seen": time, "day": time}
    rows = [{"id": number, **row} for number, row in enumerate(ROWS)]
    return pa.table({name: pa.array([row[name] for row in rows], types.get(name, pa.float64())) for name in rows[0]})


def bits(value: object) -> object:
    return struct.pack("<d", math.nan if math.isnan(value) else value) if isinstance(value, float) else value


@pytest.mark.parametrize("earliest_ms", [None, EARLIEST_MS])
def test_history_keeps_and_refuses_what_the_gate_does_bit_by_bit(
    spark: SparkSession, schema: Schema, tmp_path: Path, earliest_ms: int | None
) -> None:
    plan = source(schema, earliest_ms)
    (tmp_path / "events").mkdir()
    pq.write_table(table(), tmp_path / "events" / "a.parquet")
    relation = parquet_source.events(spark, tmp_path, plan, schema)
    columns = [F.unix_millis(F.col(f"`{name}`")).alias(name) if name in INSTANTS else F.col(f"`{name}`") for name in schema.columns]
    kept = {row.id: [bits(value) for value in row] for row in refuse(relation.rows, relation).select(*columns).collect()}

    sent = conform(table(), schema, where="table")
    bodies = Encoder(schema).batch(
        {
            name: (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
            for name, column in zip(sent.column_names, sent.columns, strict=True)
        }
    )
    far_future = Settings(future_skew_ms=2**61)  # what is ahead of the clock is the one thing that files are not asked for
    decoded = decoder(plan, SchemaSet([schema, SchemaSet.load().current("watermark")]), far_future).decode(bodies)
    passed = {
        number: [bits(values[number]) for values in decoded.columns.values()] for number, why in enumerate(decoded.reasons) if why is None
    }
    assert kept == passed
    counted_by_plan = allowed(sent, schema.fields, event_time="event_time", earliest_ms=earliest_ms)
    assert counted_by_plan["id"].to_pylist() == sorted(passed)
    assert 0 < len(passed) < len(ROWS)

    (counted,) = census([("events", relation.rows, relation)]).values()
    assert (counted.tally.rows, counted.tally.refused) == (len(ROWS), len(ROWS) - len(passed))
    early = [why for why in decoded.reasons if why is not None and why.startswith("too-early")]
    told = {reason: count for reason, count in counted.tally.reasons.items() if "earliest_event_time" in reason}
    assert bool(early) == bool(told) == (earliest_ms is not None)
