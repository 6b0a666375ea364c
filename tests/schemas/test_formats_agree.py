"""One record, one meaning: JSON, Avro's single-object encoding, Confluent's framing and a Parquet file give the same bits, or the same refusal."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.conform import conform
from schemas.registry import Registry
from schemas.schema import Schema, SchemaSet, parse
from schemas.wire import BAD, Decoded, Decoder, Encoder
from tests.schemas.conftest import TIME
from tests.schemas.registry_server import framed, registry_server

NOW_MS = 1_790_000_000_000
EVENT: dict[str, Any] = {
    "type": "record",
    "name": "event",
    "fields": [
        {"name": "event_time", "type": TIME},
        {"name": "id", "type": "string"},
        {"name": "int", "type": "int"},
        {"name": "long", "type": "long"},
        {"name": "float", "type": "float"},
        {"name": "double", "type": "double"},
        {"name": "any_float", "type": ["null", "float"], "non_finite": True, "default": None},
        {"name": "any_double", "type": ["null", "double"], "non_finite": True, "default": None},
        {"name": "flag", "type": ["null", "boolean"], "default": None},
        {"name": "colour", "type": ["null", {"type": "enum", "name": "colour", "symbols": ["red", "green"]}], "default": None},
        {"name": "seen", "type": ["null", TIME], "default": None},
    ],
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TIMES = st.integers(-62_135_596_800_000, NOW_MS) | st.integers(-(2**63), 2**63 - 1)
AROUND = [0.1, -0.0, 5e-324, 1e-45, 2.0**24 + 1, 3.4028234663852886e38, 3.4028235677973366e38, 1e39, 1.7976931348623157e308]
DOUBLES = st.floats() | st.sampled_from([*AROUND, *(-number for number in AROUND)]) | st.integers(-(2**70), 2**70)
EVENTS = st.fixed_dictionaries(
    {
        "event_time": TIMES,
        "id": TEXT,
        "int": st.integers(-(2**31), 2**31 - 1)
        | st.integers(-(2**63), 2**63 - 1)
        | st.sampled_from([2**31 - 1, 2**31, -(2**31), -(2**31) - 1]),
        "long": st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53 + 1, -(2**53) - 1]),
        "float": DOUBLES,
        "double": DOUBLES,
        "any_float": st.none() | DOUBLES,
        "any_double": st.none() | DOUBLES,
        "flag": st.none() | st.booleans(),
        "colour": st.none() | st.sampled_from(["red", "green"]),
        "seen": st.none() | TIMES,
    }
)


@pytest.fixture(scope="module")
def schema() -> Schema:
    return parse(EVENT, name="event")


@pytest.fixture(scope="module")
def decoder(schema: Schema) -> Iterator[Decoder]:
    with registry_server() as server:
        server.answers[7] = 200, {"schema": json.dumps(EVENT)}
        known = SchemaSet([schema, *(SchemaSet.load().current(name) for name in SchemaSet.load().names)])
        yield Decoder(
            known, "event", registry=Registry(server.url), event_time="event_time", required=("id",), max_ahead_ms=0, now_ms=lambda: NOW_MS
        )


def meaning(decoded: Decoded) -> list[tuple[object, ...]]:
    """What each message means, doubles as their bits; one NaN is as good as another."""
    rows = zip(decoded.kind.tolist(), decoded.reasons, decoded.time_ms.tolist(), *decoded.columns.values(), strict=True)
    return [tuple(map(bits, row)) for row in rows]


def bits(value: object) -> object:
    return struct.pack("<d", math.nan if math.isnan(value) else value) if isinstance(value, float) else (type(value), value)


def written_as_json(event: dict[str, Any], quoted: bool) -> bytes:
    """Numbers that are none as Python writes them, or in quotes as Avro's own JSON has them."""
    values = {
        name: str(json.dumps(value)) if quoted and isinstance(value, float) and not math.isfinite(value) else value
        for name, value in event.items()
    }
    return json.dumps(values).encode()


@pytest.mark.slow
@given(st.lists(EVENTS, min_size=1, max_size=8), st.booleans())
def test_the_same_event_has_the_same_bits_in_all_three_formats(
    decoder: Decoder, schema: Schema, events: list[dict[str, Any]], quoted: bool
) -> None:
    bodies = [Encoder(schema).encode(event) for event in events]
    avro = meaning(decoder.decode(bodies))
    assert meaning(decoder.decode([framed(7, body) for body in bodies])) == avro
    assert meaning(decoder.decode([written_as_json(event, quoted) for event in events])) == avro
    mixed: Sequence[bytes] = [body for event, body in zip(events, bodies, strict=True) for body in (body, written_as_json(event, quoted))]
    assert meaning(decoder.decode(mixed)) == [row for row in avro for _ in range(2)]


@given(st.lists(EVENTS, min_size=1, max_size=8))
def test_a_file_holds_the_bits_that_the_gate_reads_after_it_was_published(
    decoder: Decoder, schema: Schema, events: list[dict[str, Any]]
) -> None:
    """Before its rows are refused, which a file's reader does as the gate does: tests/batch."""
    table = pa.table(
        {
            field.name: pa.array(
                [event[field.name] if field.type.arrow != pa.float64() else as_double(event[field.name]) for event in events],
                field.type.arrow,
            )
            for field in schema.fields
        }
    )
    columns = {name: column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for name, column in conformed(table, schema)}
    decoded = decoder.decode(Encoder(schema).batch({name: column.to_pylist() for name, column in columns.items()}))
    for row in np.flatnonzero(decoded.kind != BAD).tolist():
        assert [bits(values[row]) for values in decoded.columns.values()] == [bits(column[row].as_py()) for column in columns.values()]


def conformed(table: pa.Table, schema: Schema) -> Iterator[tuple[str, Any]]:
    held = conform(table, schema, where="table")
    return zip(held.column_names, held.columns, strict=True)


def as_double(value: float | None) -> float | None:
    return None if value is None else float(value)


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("-0", "float", -0.0),
        ("-0", "double", -0.0),
        ("-0", "long", 0),
        ("-0", "int", 0),
        ("-0.0", "double", -0.0),
        ("1e2", "double", 100.0),
        ("0.1", "float", 0.10000000149011612),
        ("16777217", "float", 16777216.0),
        ("9007199254740993", "long", 9007199254740993),
        ("9007199254740993", "double", 9007199254740992.0),
        ("-9223372036854775808", "long", -(2**63)),
        ("1e999", "any_double", math.inf),
        ("1e39", "any_float", math.inf),
        ('"-INF"', "any_double", -math.inf),
        ("NaN", "any_float", math.nan),
    ],
)
def test_a_number_in_json_is_what_its_field_holds(decoder: Decoder, text: str, field: str, expected: float) -> None:
    numbers = {"int": "1", "long": "1", "float": "1", "double": "1"} | {field: text}
    body = '{"event_time": 1, "id": "-0", ' + ", ".join(f'"{name}": {number}' for name, number in numbers.items()) + "}"
    decoded = decoder.decode([body.encode()])
    assert decoded.reasons == [None]
    assert bits(decoded.columns[field][0]) == bits(expected)


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ("3.0", "int", 'wrong-type: field "int": expected int, got double'),
        ("1e2", "long", 'wrong-type: field "long": expected int64, got double'),
        ("2147483648", "int", 'wrong-type: field "int": 2147483648 is no 32-bit integer'),
        ("9223372036854775808", "long", 'wrong-type: field "long": expected int64, got an integer of more than 64 bits'),
        ("9223372036854775808", "int", 'wrong-type: field "int": expected int, got an integer of more than 64 bits'),
        ("1e39", "float", 'non-finite: field "float" is inf'),
        ("-1e999", "double", 'non-finite: field "double" is -inf'),
        ("true", "float", 'wrong-type: field "float": expected float, got boolean'),
        ("1", "flag", 'wrong-type: field "flag": expected boolean, got integer'),
        ('"1"', "int", 'wrong-type: field "int": expected int, got string'),
        ('"blue"', "colour", "wrong-type: field \"colour\": 'blue' is none of red, green"),
    ],
)
def test_what_a_field_does_not_hold_is_refused_in_json(decoder: Decoder, text: str, field: str, reason: str) -> None:
    values = {"int": "1", "long": "1", "float": "1", "double": "1"} | {field: text}
    body = '{"event_time": 1, "id": "a", ' + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"
    assert decoder.decode([body.encode()]).reasons == [reason]


def test_a_symbol_that_is_unknown_is_the_enums_default_in_json_too(decoder: Decoder) -> None:
    colour = {"type": "enum", "name": "colour", "symbols": ["red", "green"], "default": "red"}
    newer = colour | {"symbols": ["blue", "red", "green"]}
    fields: list[Any] = [{"name": "event_time", "type": TIME}, {"name": "colour", "type": colour}]
    schemas = SchemaSet.load()
    own = SchemaSet([parse({"type": "record", "name": "e", "fields": fields}, name="e"), schemas.current("watermark")])
    written = parse({"type": "record", "name": "e", "fields": [fields[0], {"name": "colour", "type": newer}]}, name="e")
    with registry_server() as server:
        server.answers[1] = 200, {"schema": json.dumps({key: value for key, value in written.avro.items() if not key.startswith("__")})}
        reader = Decoder(own, "e", registry=Registry(server.url), event_time="event_time", max_ahead_ms=0)
        event = {"event_time": 1, "colour": "blue"}
        decoded = reader.decode([framed(1, Encoder(written).encode(event)), json.dumps(event).encode()])
    assert decoded.columns["colour"] == ["red", "red"]
