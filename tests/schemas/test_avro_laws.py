"""Laws of the column reader: it reads what fastavro reads, and no bytes make it raise or read another record."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from schemas.avro_columns import Incompatible, compile_reader
from schemas.avro_cursor import Column
from schemas.schema import SchemaSet, parse
from schemas.wire import BAD, OK, Decoder, encode
from tests.schemas.conftest import READING_1, READING_2, TIME

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
INT = st.integers(-(2**31), 2**31 - 1)
LONG = st.integers(-(2**63), 2**63 - 1)
DOUBLE = st.floats(allow_nan=False)
FLOAT = st.floats(width=32, allow_nan=False)

READINGS = st.fixed_dictionaries(
    {
        "event_time": LONG,
        "sensor": TEXT,
        "count": LONG,
        "value": DOUBLE,
        "raw": DOUBLE,
        "active": st.booleans(),
        "colour": st.sampled_from(["red", "green"]),
        "note": st.none() | TEXT,
        "seen": st.none() | LONG,
    }
)
KINDS: dict[str, tuple[Any, st.SearchStrategy[Any], bool]] = {
    "null": ("null", st.none(), False),
    "bytes": ("bytes", st.binary(max_size=70), False),
    "fixed": ({"type": "fixed", "name": "f5", "size": 5}, st.binary(min_size=5, max_size=5), False),
    "array": ({"type": "array", "items": ["null", "string"]}, st.lists(st.none() | TEXT, max_size=5), False),
    "nulls": ({"type": "array", "items": "null"}, st.lists(st.none(), max_size=5), False),
    "map": (
        {"type": "map", "values": {"type": "array", "items": "double"}},
        st.dictionaries(TEXT, st.lists(DOUBLE, max_size=3), max_size=3),
        False,
    ),
    "record": (
        {"type": "record", "name": "inner", "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": ["null", "inner"]}]},
        st.recursive(
            st.builds(lambda a: {"a": a, "b": None}, INT), lambda inner: st.builds(lambda a, b: {"a": a, "b": b}, INT, inner), max_leaves=4
        ),
        False,
    ),
    "boolean": ("boolean", st.booleans(), True),
    "int": ("int", INT, True),
    "long": ("long", LONG, True),
    "float": ("float", FLOAT, True),
    "double": ("double", DOUBLE, True),
    "string": ("string", TEXT, True),
    "enum": ({"type": "enum", "name": "e", "symbols": ["a", "b", "c"]}, st.sampled_from("abc"), True),
}


def flat(kind: str) -> Any:
    return KINDS[kind][0]


def read(writer: Any, current: Any, bodies: list[bytes]) -> tuple[dict[str, list[Any]], list[str | None]]:
    parsed: Any = parse_schema(writer)
    reader = compile_reader(parsed, parse(current, name="r"))
    ends = np.cumsum([len(body) for body in bodies])
    starts = ends - np.array([len(body) for body in bodies])
    columns, faults = reader.read(b"".join(bodies), starts, ends)
    return {name: listed(column) for name, column in columns.items()}, faults


def listed(column: Column) -> list[Any]:
    return [None if null else value for value, null in zip(column.values.tolist(), column.nulls, strict=True)]


def written(schema: Any, record: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    schemaless_writer(out, schema, record)
    return out.getvalue()


@given(st.data())
def test_any_writer_is_read_as_fastavro_reads_it(data: st.DataObject) -> None:
    kinds = [*data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=8, unique=True)), "string"]
    fields = [{"name": f"f{number}", "type": flat(kind)} for number, kind in enumerate(kinds)]
    fields[-1]["type"] = ["null", "string"]
    values = [KINDS[kind][1] for kind in kinds[:-1]] + [st.none() | TEXT]
    kept = [field for field, kind in zip(fields, kinds, strict=True) if KINDS[kind][2]]
    writer = {"type": "record", "name": "r", "fields": fields}
    current = {"type": "record", "name": "r", "fields": data.draw(st.permutations(kept))}
    records = data.draw(
        st.lists(st.fixed_dictionaries({field["name"]: value for field, value in zip(fields, values, strict=True)}), min_size=1, max_size=6)
    )
    bodies = [written(writer, record) for record in records]
    columns, faults = read(writer, current, bodies)
    assert faults == [None] * len(bodies)
    for row, body in enumerate(bodies):
        expected = schemaless_reader(io.BytesIO(body), writer, current)
        assert {name: values[row] for name, values in columns.items()} == expected


@given(st.lists(READINGS, min_size=1, max_size=20))
def test_a_batch_is_read_as_its_records_one_by_one(records: list[dict[str, Any]]) -> None:
    schema = parse(READING_2, name="reading")
    bodies = [written(READING_2, record) for record in records]
    columns, faults = read(READING_2, READING_2, bodies)
    assert faults == [None] * len(records)
    assert [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)] == records
    assert encode(schema, records[0])[10:] == bodies[0]


@given(READINGS, st.binary(max_size=60), st.integers(0, 200), st.integers(0, 200))
def test_damage_never_raises_nor_touches_a_neighbour(
    schemas: SchemaSet, record: dict[str, Any], noise: bytes, start: int, stop: int
) -> None:
    schema = schemas.current("reading")
    decoder = Decoder(schemas, "reading", event_time="event_time", max_ahead_ms=0, now_ms=lambda: 10**13)
    good = encode(schema, {"event_time": 1, "sensor": "s", "count": 1, "value": 1.0})
    body = encode(schema, record)
    damaged = body[:10] + body[10 + start :][:stop] + noise
    decoded = decoder.decode([good, damaged, good])
    assert decoded.kind[[0, 2]].tolist() == [OK, OK]
    assert decoded.columns["sensor"][0] == decoded.columns["sensor"][2] == "s"
    if decoded.kind[1] == BAD:
        assert decoded.reasons[1]
    else:  # then fastavro reads the same, to the last byte
        stream = io.BytesIO(damaged[10:])
        expected: Any = schemaless_reader(stream, READING_2, None)
        assert stream.tell() == len(damaged) - 10
        assert {name: decoded.columns[name][1] for name in ("sensor", "count", "note", "colour")} == {
            name: expected[name] for name in ("sensor", "count", "note", "colour")
        }


@given(st.lists(st.binary(max_size=80) | st.none(), max_size=10))
def test_arbitrary_bytes_never_raise(schemas: SchemaSet, bodies: list[bytes | None]) -> None:
    decoder = Decoder(schemas, "reading", event_time="event_time", max_ahead_ms=0)
    prefixes = [
        b"",
        b"\xc3\x01" + schemas.current("reading").fingerprint,
        b"\0",
        b"{",
        b"\xc3\x01" + schemas.current("watermark").fingerprint,
    ]
    decoded = decoder.decode([body and prefixes[index % len(prefixes)] + body for index, body in enumerate(bodies)])
    assert len(decoded.kind) == len(decoded.reasons) == len(bodies)
    assert [(kind == BAD) == (text is not None) for kind, text in zip(decoded.kind, decoded.reasons, strict=True)] == [True] * len(bodies)


@given(st.binary(max_size=100))
def test_damage_in_dropped_fields_never_raises(noise: bytes) -> None:
    fields = [{"name": "all", "type": {"type": "array", "items": {"type": "record", "name": "x", "fields": [
        {"name": f"f{number}", "type": flat(kind)} for number, kind in enumerate(KINDS) if kind != "null"]}}}, {"name": "last", "type": "string"}]  # fmt: skip
    columns, faults = read(
        {"type": "record", "name": "r", "fields": fields}, {"type": "record", "name": "r", "fields": fields[1:]}, [noise, b"\0\0"]
    )
    assert (columns["last"][1], faults[1]) == ("", None)


def test_a_billion_items_without_bytes_are_skipped_at_once() -> None:
    fields = [{"name": "n", "type": {"type": "array", "items": "null"}}, {"name": "last", "type": "string"}]
    body = b"\x80\xa8\xd6\xb9\x07" + b"\0" + b"\x02a"  # one block of 1,000,000,000 nulls, end of the array, "a"
    columns, faults = read(record(fields), record(fields[1:]), [body])
    assert (columns["last"], faults) == (["a"], [None])


def test_blocks_with_their_size_are_skipped() -> None:
    fields = [{"name": "n", "type": {"type": "array", "items": "int"}}, {"name": "last", "type": "string"}]
    body = b"\x03\x04\x08\x0a" + b"\x02\x0c" + b"\0" + b"\x02a"  # minus 2 items in 2 bytes, 1 item, end
    columns, faults = read(record(fields), record(fields[1:]), [body])
    assert (columns["last"], faults) == (["a"], [None])


@pytest.mark.parametrize(
    ("writer", "current", "message"),
    [
        ("string", "int", 'field "x": expected int, got string'),
        ("string", "long", "expected int64, got string"),
        ("long", "int", "expected int, got long"),
        ("double", "float", "expected float, got double"),
        ("double", "long", "expected int64, got double"),
        ({"type": "array", "items": "int"}, "int", "expected int, got array"),
        (["null", "string"], "int", "got"),
        ("null", "int", "got null"),
    ],
)
def test_writers_that_cannot_be_read(writer: Any, current: Any, message: str) -> None:
    with pytest.raises(Incompatible, match=message):
        read(record_of(writer), record_of(current), [])


@pytest.mark.parametrize(
    ("writer", "current", "value", "expected"),
    [
        ("int", "double", 3, 3.0),
        ("long", "double", 2**53, 2.0**53),
        ("float", "double", 0.5, 0.5),
        ("long", "double", 2**53 + 1, 2.0**53),
        ("int", "float", 2**24 + 1, 2.0**24),
        ("long", "float", 2**24 + 1, 2.0**24),
        ("int", TIME, 7, 7),
        ("long", TIME, 7, 7),
        (["null", "int"], "double", 3, 3.0),
        (["string", "null"], ["null", "string"], None, None),
        ("int", ["null", "int"], 3, 3),
        (["int", "string"], "int", 3, 3),
    ],
)
def test_promotions(writer: Any, current: Any, value: Any, expected: Any) -> None:
    columns, faults = read(record_of(writer), record_of(current), [written(record_of(writer), {"x": value})])
    assert (columns["x"], faults) == ([expected], [None])


def test_a_branch_that_does_not_fit_is_refused_for_its_record_only() -> None:
    writer = record_of(["null", "int", "string"])
    bodies = [written(writer, {"x": value}) for value in (1, "a", None, 2)]
    columns, faults = read(writer, record_of("int"), bodies)
    assert [columns["x"][0], columns["x"][3]] == [1, 2]
    assert faults == [None, 'wrong-type: field "x": expected int, got string', 'wrong-type: field "x": expected int, got null', None]


def test_symbols_that_the_reader_does_not_know() -> None:
    writer = record_of({"type": "enum", "name": "e", "symbols": ["a", "b", "c"]})
    bodies = [written(writer, {"x": symbol}) for symbol in "abc"]
    strict = record_of({"type": "enum", "name": "e", "symbols": ["c", "a"]})
    assert read(writer, strict, bodies)[1] == [None, 'wrong-type: field "x": a symbol that the current schema does not have', None]
    lenient = record_of({"type": "enum", "name": "e", "symbols": ["c", "a"], "default": "c"})
    assert read(writer, lenient, bodies)[0] == {"x": ["a", "c", "c"]}


def test_dropped_composite_field_of_an_older_version() -> None:
    record = {"sensor": "s", "event_time": 5, "count": 7, "old_value": 0.25, "dropped": [{"k": b"v"}]}
    columns, faults = read(READING_1, READING_2, [written(READING_1, record)] * 3)
    assert faults == [None] * 3
    assert columns["value"] == [0.25] * 3


def record_of(kind: Any) -> dict[str, Any]:
    return record([{"name": "x", "type": kind}])


def record(fields: list[Any]) -> dict[str, Any]:
    return {"type": "record", "name": "r", "fields": fields}
