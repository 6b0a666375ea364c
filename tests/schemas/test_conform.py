"""Files of records: which columns are taken for which fields, and what is said of the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from schemas.conform import conform
from schemas.errors import DataError
from schemas.schema import Schema, SchemaSet

NO_TEXT: Any = pa.array([b"\xff", b"\xff"]).view(pa.string())


@pytest.fixture
def schema(schemas: SchemaSet) -> Schema:
    return schemas.current("reading")


def table(**changes: Any) -> pa.Table:
    columns: dict[str, Any] = {
        "event_time": pa.array([1, None], pa.timestamp("ms", tz="UTC")).fill_null(2),
        "sensor": pa.array(["a", "b"]),
        "count": pa.array([1, 2], pa.int64()),
        "value": pa.array([0.5, 1.5]),
    } | changes
    return pa.table({name: column for name, column in columns.items() if column is not None})


def test_columns_come_in_schema_order_with_defaults_and_without_others(schema: Schema) -> None:
    got = conform(table(other=pa.array([1, 2])), schema, where="f")
    assert got.schema.equals(schema.arrow)
    assert got["raw"].to_pylist() == [0.5, 0.5]
    assert got["colour"].to_pylist() == ["green", "green"]
    assert got["note"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("count", pa.array([1, 2], pa.uint8()), [1, 2]),
        ("value", pa.array([1, 2], pa.int32()), [1.0, 2.0]),
        ("value", pa.array([0.5, 1.5], pa.float32()), [0.5, 1.5]),
        ("sensor", pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        ("sensor", pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        ("note", pa.array([None, None], pa.null()), [None, None]),
        ("value", pa.array([Decimal("0.5"), Decimal("1.5")]).dictionary_encode(), [0.5, 1.5]),
    ],
)
def test_types_that_lose_nothing_are_taken(schema: Schema, name: str, column: Any, expected: list[Any]) -> None:
    assert conform(table(**{name: column}), schema, where="f")[name].to_pylist() == expected


@pytest.mark.parametrize(
    "type_", [pa.timestamp("s"), pa.timestamp("us", tz="UTC"), pa.timestamp("ns"), pa.timestamp("ns", tz="America/New_York")]
)
def test_times_become_milliseconds_in_utc(schema: Schema, type_: pa.TimestampType[Any, Any]) -> None:
    per_s = {"s": 1, "us": 10**6, "ns": 10**9}[type_.unit]
    column = pa.array([-per_s - (per_s > 1), 5 * per_s + (per_s > 1)], pa.int64()).cast(type_)
    got = conform(table(event_time=column), schema, where="f")["event_time"].cast(pa.int64()).to_pylist()
    assert got == [-1000 - (per_s > 1), 5000]  # finer parts are cut towards the past


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"count": None}, 'f: column "count" is missing (expected int64)'),
        ({"sensor": None, "sensors": pa.array(["a", "b"])}, 'f: column "sensor" is missing (did you mean "sensors"?)'),
        ({"count": pa.array(["1", "2"])}, 'f: column "count" is string; expected int64'),
        ({"count": pa.array([1.0, 2.0])}, 'f: column "count" is double; expected int64'),
        ({"event_time": pa.array([1, 2])}, 'f: column "event_time" is int64; expected timestamp[ms, tz=UTC]'),
        ({"event_time": pa.array(["2013-10-01", "x"])}, 'f: column "event_time" is string; expected timestamp[ms, tz=UTC]'),
        ({"sensor": NO_TEXT}, 'f: column "sensor" cannot be read as string: it has bytes that are no UTF-8'),
        ({"sensor": pa.array(["a", None])}, 'f: column "sensor" is null in row 2; the schema allows none'),
        (
            {"count": pa.array([1, 2**64 - 1], pa.uint64())},
            'f: column "count" cannot be read as int64: Integer value 18446744073709551615 not in range',
        ),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(schema: Schema, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(DataError) as caught:
        conform(table(**changes), schema, where="f")
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_everything_wrong_comes_together(schema: Schema) -> None:
    with pytest.raises(DataError, match=r'f: column "sensor" is missing \(expected string\); column "count" is string; expected int64$'):
        conform(table(sensor=None, count=pa.array(["1", "2"])), schema, where="f")


def test_a_column_twice(schema: Schema) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["count", "count"])
    with pytest.raises(DataError, match='column "count" is there 2 times'):
        conform(twice, schema, where="f")


def test_shown_times_are_utc(schema: Schema) -> None:
    assert conform(table(), schema, where="f")["event_time"].to_pylist()[0] == datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)
