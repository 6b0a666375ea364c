"""Logical types: each is read where a field of ours can hold it exactly, in Avro and JSON alike, and is else refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.avro_columns import Incompatible
from schemas.errors import DataError
from schemas.registry import Registry
from schemas.schema import SchemaSet, parse
from schemas.wire import Decoder, Encoder
from tests.schemas.conftest import TIME
from tests.schemas.registry_server import framed, registry_server
from tests.schemas.test_avro_laws import read, record_of, written

MICROS = {"type": "long", "logicalType": "timestamp-micros"}
NANOS = {"type": "long", "logicalType": "timestamp-nanos"}
DATE = {"type": "int", "logicalType": "date"}
UUID_TEXT = {"type": "string", "logicalType": "uuid"}
UUID_FIXED = {"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"}
PRICE = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}
PRICE_FIXED = {"type": "fixed", "name": "p", "size": 9, "logicalType": "decimal", "precision": 20, "scale": 2}
ID = "0188e8a5-7d5c-7b6e-9c59-0a8f3c1d2e3f"
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("writer", "current", "value", "expected"),
    [
        ({"type": "long", "logicalType": "of-somebody"}, "long", 7, 7),
        ({"type": "string", "logicalType": "of-somebody"}, "string", "a", "a"),
        ({"type": "string", "logicalType": "timestamp-millis"}, "string", "a", "a"),
        ({"type": "bytes", "logicalType": "decimal"}, "string", b"ab", "ab"),  # without a precision it is none
        ({"type": "fixed", "name": "f", "size": 16, "logicalType": "of-somebody"}, UUID_FIXED, UUID(ID).bytes, ID),
        (MICROS, TIME, -1, -1),
        (MICROS, TIME, 1_999, 1),
        (NANOS, TIME, -1, -1),
        (NANOS, TIME, 1_999_999, 1),
        (TIME, MICROS, 5, 5),
        ("long", MICROS, 5_999, 5),
        (MICROS, "long", 5_999, 5_999),
        (DATE, TIME, -1, -DAY_MS),
        (DATE, DATE, 2**31 - 1, (2**31 - 1) * DAY_MS),
        ("int", DATE, 1, DAY_MS),
        (DATE, "long", 3, 3),
        ({"type": "int", "logicalType": "time-millis"}, {"type": "int", "logicalType": "time-millis"}, 7, 7),
        ({"type": "long", "logicalType": "time-micros"}, "long", 7, 7),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, "long", 7, 7),
        (UUID_TEXT, "string", ID, ID),
        ("string", UUID_TEXT, ID, ID),
        (UUID_FIXED, "string", UUID(ID).bytes, ID),
        (PRICE, "double", Decimal("12.30"), 12.3),
        (PRICE, "string", Decimal("12.30"), "12.30"),
        (PRICE, "string", Decimal("-0.05"), "-0.05"),
        (PRICE_FIXED, "string", Decimal("-999999999999999999.99"), "-999999999999999999.99"),
        (PRICE_FIXED, ["null", "double"], Decimal("-0.07"), -0.07),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5}, "string", Decimal("-42"), "-42"),
        (["null", PRICE], ["null", "string"], None, None),
    ],
)
def test_what_a_field_holds_exactly_is_read(writer: Any, current: Any, value: object, expected: object) -> None:
    columns, faults = read(record_of(writer), record_of(current), [written(record_of(writer), {"x": value})] * 2)
    assert (columns["x"], faults) == ([expected] * 2, [None] * 2)
    assert type(columns["x"][0]) is type(expected)


@pytest.mark.parametrize(
    ("writer", "current", "message"),
    [
        ({"type": "long", "logicalType": "local-timestamp-micros"}, TIME, "expected timestamp-millis, got local-timestamp-micros"),
        ({"type": "long", "logicalType": "time-micros"}, TIME, "expected timestamp-millis, got time-micros"),
        ({"type": "long", "logicalType": "time-micros"}, {"type": "int", "logicalType": "time-millis"}, "expected int, got time-micros"),
        (MICROS, {"type": "long", "logicalType": "time-micros"}, "expected int64, got timestamp-micros"),
        (TIME, DATE, "expected date, got timestamp-millis"),
        ("long", DATE, "expected date, got long"),
        ({"type": "fixed", "name": "d", "size": 12, "logicalType": "duration"}, "string", "expected string, got duration"),
        ({"type": "bytes", "logicalType": "big-decimal"}, "string", "expected string, got big-decimal"),
        (PRICE, "float", "expected float, got decimal"),
        (PRICE, "long", "expected int64, got decimal"),
        (PRICE, UUID_TEXT, "expected string, got decimal"),
        (UUID_TEXT, UUID_FIXED, "expected string, got uuid"),
    ],
)
def test_what_no_field_holds_is_refused_by_name(writer: Any, current: Any, message: str) -> None:
    with pytest.raises(Incompatible, match=message):
        read(record_of(writer), record_of(current), [])


@pytest.mark.parametrize(
    ("current", "value", "reason"),
    [
        (
            "double",
            Decimal("123456789012345678.91"),
            'out-of-range: field "x": the decimal 12345678901234567891e-2 has more digits than a double; ',
        ),
        ("string", 10**20, 'out-of-range: field "x": a decimal of more than 20 digits, its precision'),
    ],
)
def test_a_decimal_whose_digits_would_be_lost_is_refused_alone(current: str, value: Any, reason: str) -> None:
    plain = {"type": "record", "name": "r", "fields": [{"name": "x", "type": "bytes"}]}
    unscaled = int(value * 100) if isinstance(value, Decimal) else value
    bodies = [written(plain, {"x": number.to_bytes(10, "big", signed=True)}) for number in (150, unscaled, 250)]
    columns, faults = read(record_of(PRICE), record_of(current), bodies)
    assert [faults[0], faults[2]] == [None, None]
    assert str(faults[1]).startswith(reason)
    assert [float(columns["x"][0]), float(columns["x"][2])] == [1.5, 2.5]


@given(st.integers(-(10**20) + 1, 10**20 - 1))
def test_a_decimal_is_its_digits_or_the_double_that_has_them(unscaled: int) -> None:
    value = Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -2))
    body = written(
        {"type": "record", "name": "r", "fields": [{"name": "x", "type": "bytes"}]}, {"x": unscaled.to_bytes(10, "big", signed=True)}
    )
    columns, faults = read(record_of(PRICE), record_of("string"), [body])
    assert (Decimal(columns["x"][0]), faults) == (value, [None])
    columns, faults = read(record_of(PRICE), record_of("double"), [body])
    assert (faults == [None]) == (Decimal(repr(float(value))) == value)
    assert faults != [None] or columns["x"] == [float(value)]


OWN: dict[str, Any] = {
    "type": "record",
    "name": "event",
    "fields": [
        {"name": "event_time", "type": MICROS},
        {"name": "nanos", "type": ["null", NANOS], "default": None},
        {"name": "date", "type": ["null", DATE], "default": None},
        {"name": "time", "type": ["null", {"type": "int", "logicalType": "time-millis"}], "default": None},
        {"name": "id", "type": ["null", UUID_FIXED], "default": None},
    ],
}
EVENTS = st.fixed_dictionaries(
    {
        "event_time": st.integers(-(10**16), 10**16) | st.integers(-(2**63), 2**63 - 1),
        "nanos": st.none() | st.integers(-(2**63), 2**63 - 1),
        "date": st.none() | st.integers(-(2**31), 2**31 - 1),
        "time": st.none() | st.integers(-(2**31), 2**31 - 1),
        "id": st.none() | st.uuids(),
    }
)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with registry_server() as server:
        server.answers[7] = 200, {"schema": json.dumps(OWN)}
        schemas = SchemaSet([parse(OWN, name="event"), SchemaSet.load().current("watermark")])
        yield Decoder(schemas, "event", registry=Registry(server.url), event_time="event_time", max_ahead_ms=10**14)


@given(st.lists(EVENTS, min_size=1, max_size=5))
def test_the_units_of_a_schema_are_those_of_all_three_formats(decoder: Decoder, events: list[dict[str, Any]]) -> None:
    raw = [event | {"id": event["id"] and event["id"].bytes} for event in events]
    single = [b"\xc3\x01" + decoder.schema.fingerprint + written(OWN, event) for event in raw]
    avro = decoder.decode(single)
    text = decoder.decode([json.dumps(event, default=str).encode() for event in events])
    confluent = decoder.decode([framed(7, body) for body in single])
    for other in (text, confluent):
        assert (other.reasons, other.columns, other.time_ms.tolist()) == (avro.reasons, avro.columns, avro.time_ms.tolist())
    for row, event in enumerate(events):
        if avro.reasons[row] is None:
            assert avro.columns["event_time"][row] == event["event_time"] // 1_000
            assert avro.columns["id"][row] == (event["id"] and str(event["id"]))


def test_what_is_written_is_what_is_read(decoder: Decoder) -> None:
    noon = datetime(2013, 10, 1, 12, tzinfo=UTC)
    ms = int(noon.timestamp()) * 1000
    event = {"event_time": ms, "nanos": ms + 1, "date": ms - ms % DAY_MS, "time": 5, "id": ID}
    for given_time in (ms, noon):
        decoded = decoder.decode([Encoder(decoder.schema).encode(event | {"event_time": given_time})])
        assert {name: values[0] for name, values in decoded.columns.items()} == event
    with pytest.raises(DataError, match="is no date: a date is midnight in UTC"):
        Encoder(decoder.schema).encode(event | {"date": ms})
    with pytest.raises(DataError, match="badly formed"):
        Encoder(decoder.schema).encode(event | {"id": "x"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"date": "2013-10-01T00:00:00Z"}, "wrong-type: field \"date\": '2013-10-01T00:00:00Z' is not an ISO 8601 date"),
        ({"date": 2**31}, 'wrong-type: field "date": 2147483648 is no 32-bit integer'),
        ({"id": "{" + ID + "}"}, "is no UUID"),
        ({"time": "12:00"}, 'wrong-type: field "time": expected int, got string'),
    ],
)
def test_json_that_is_not_of_its_logical_type(decoder: Decoder, change: dict[str, Any], reason: str) -> None:
    assert reason in str(decoder.decode([json.dumps({"event_time": 1} | change).encode()]).reasons[0])


def test_times_in_json_may_be_text() -> None:
    schemas = SchemaSet([parse(OWN, name="event"), SchemaSet.load().current("watermark")])
    body = {"event_time": "2013-10-01T05:00:00.0019-04:00", "date": str(date(2013, 10, 1)), "id": ID.upper()}
    decoded = Decoder(schemas, "event", event_time="event_time", max_ahead_ms=0).decode([json.dumps(body).encode()])
    assert (decoded.columns["event_time"], decoded.columns["date"], decoded.columns["id"]) == (
        [1_380_618_000_001],
        [1_380_585_600_000],
        [ID],
    )
