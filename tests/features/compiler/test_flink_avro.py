"""What Flink's own Avro format is told of a trusted source: the bytes that it must read and write are those of `schemas.wire`."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from features.catalog import load
from features.compiler import flink_avro, flink_gate
from schemas.errors import DefinitionError
from schemas.schema import Schema, SchemaSet, load_file
from schemas.wire import encode

EVERY = Path(__file__).parents[1] / "every"
EVENT = SchemaSet.load(EVERY / "schemas").current("event")
SOURCE = load(EVERY / "definitions", EVERY / "schemas").sources["events"]
RECORD = {
    "id": "a",
    "event_time": 1_700_000_000_000,
    "user": None,
    "shop": -7,
    "amount": 0.1,
    "discount": 0.5,
    "items": 3,
    "paid": True,
    "colour": "red",
    "shipped": -5,
    "wild": 1.0,
}
AVRO = {"BIGINT": "long", "DOUBLE": "double", "FLOAT": "float", "BOOLEAN": "boolean", "STRING": "string", "INT": "int"}


def schema_of(tmp_path: Path, *fields: object) -> Schema:
    """A schema with these types of fields, after an event time."""
    time = {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-millis"}}
    named = [{"name": f"f{number}", "type": type_} for number, type_ in enumerate(fields)]
    file = tmp_path / "thing.avsc"
    file.write_text(json.dumps({"type": "record", "name": "thing", "fields": [time, *named]}))
    return load_file(file)


def as_flink_has_it(columns: dict[str, str]) -> object:
    """The Avro schema that Flink's format makes of columns: nullable ones are unions with null before."""
    fields = []
    for name, type_ in columns.items():
        plain = AVRO[type_.removesuffix(" NOT NULL")]
        fields.append({"name": name, "type": plain if type_.endswith(" NOT NULL") else ["null", plain]})
    return parse_schema({"type": "record", "name": "row", "fields": fields})


def test_a_message_read_with_the_columns_is_the_record_and_written_again_the_message() -> None:
    body = encode(EVENT, RECORD)
    columns = as_flink_has_it({"_magic": "INT NOT NULL", "_fingerprint": "DOUBLE NOT NULL"} | flink_avro.columns(EVENT))
    stream = io.BytesIO(body)
    read = schemaless_reader(stream, columns, None)  # type: ignore[arg-type]  # a parsed schema
    assert stream.tell() == len(body)
    assert read == {"_magic": flink_avro.MAGIC, "_fingerprint": flink_avro.fingerprint(EVENT)} | RECORD
    written = io.BytesIO()
    schemaless_writer(written, columns, read)  # type: ignore[arg-type]  # a parsed schema
    assert written.getvalue() == body


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ({"type": "enum", "name": "e", "symbols": ["A"]}, "of type enum"),
        (["null", {"type": "enum", "name": "e", "symbols": ["A"]}], "of type enum"),
        (["string", "null"], "a union with null behind"),
    ],
)
def test_what_flink_reads_otherwise_is_refused(type_: object, said: str, tmp_path: Path) -> None:
    (fault,) = flink_avro.faults(schema_of(tmp_path, type_))
    assert fault.startswith(f'field "f0" is {said}, ')


def test_a_schema_of_plain_and_nullable_fields_is_not(tmp_path: Path) -> None:
    schema = schema_of(
        tmp_path, "int", ["null", "float"], ["null", {"type": "long", "logicalType": "timestamp-millis"}], "string", "boolean"
    )
    assert flink_avro.faults(schema) == []
    assert list(flink_avro.columns(schema).values()) == [
        "BIGINT NOT NULL",
        "BIGINT NOT NULL",
        "FLOAT",
        "BIGINT",
        "STRING NOT NULL",
        "BOOLEAN NOT NULL",
    ]


def test_a_source_of_such_a_schema_cannot_be_trusted(tmp_path: Path) -> None:
    definitions, schemas = tmp_path / "definitions", tmp_path / "schemas"
    definitions.mkdir()
    schemas.mkdir()
    schema_of(schemas, ["string", "null"])
    (definitions / "a.py").write_text('from features import Source\nthings = Source(topic="t", schema="thing", trusted=True)\n')
    with pytest.raises(DefinitionError) as caught:
        load(definitions, schemas)
    assert any(
        each.startswith('things: trusted: schema "thing": field "f0" is a union with null behind, ') for each in caught.value.problems
    )


@pytest.mark.parametrize(
    ("eight_bytes", "condition"),
    [
        (struct.pack("<d", 2.5e-300), "`_fingerprint` = CAST('2.5e-300' AS DOUBLE)"),
        (b"\1\0\0\0\0\0\xf8\x7f", "CAST(`_fingerprint` AS STRING) = 'NaN'"),
        (b"\0\0\0\0\0\0\xf0\xff", "CAST(`_fingerprint` AS STRING) = '-Infinity'"),
    ],
)
def test_every_fingerprint_can_be_compared(eight_bytes: bytes, condition: str) -> None:
    schema = replace(EVENT, fingerprint=eight_bytes)
    assert condition in flink_gate.reading(replace(SOURCE, trusted=True), schema).kind


def test_no_gate_is_called_and_one_clock_tells_the_time() -> None:
    source = replace(SOURCE, trusted=True)
    reading = flink_gate.reading(source, EVENT)
    for gates in (1, 2):
        query = flink_gate.gate_query(source, reading, gates=gates)
        assert "gate_events" not in query
        assert query.count("`clock_events`(") == 1
    assert "_body" not in flink_gate.checked_columns(source, reading)


def test_a_trusted_source_holds_its_earliest_event_time_as_well() -> None:
    reading = flink_gate.reading(replace(SOURCE, trusted=True, earliest_ms=1_356_998_400_000), EVENT)
    assert "AND `event_time` >= 1356998400000 THEN 0 ELSE 2 END" in reading.kind
    assert "`event_time` >= 1356998400000 THEN `event_time` END" in reading.event_time_ms  # such a time moves no watermark
    assert "' ms is before 2013-01-01T00:00:00.000Z, the earliest_event_time of its source'" in reading.reason
    unlimited = flink_gate.reading(replace(SOURCE, trusted=True), EVENT)
    assert ">=" not in unlimited.kind + unlimited.event_time_ms and unlimited.reason.startswith("'schema: ")


@pytest.mark.parametrize("logical", ["timestamp-micros", "timestamp-nanos", "time-micros"])
def test_what_flink_would_read_in_another_unit_cannot_be_trusted(tmp_path: Path, logical: str) -> None:
    (fault,) = flink_avro.faults(schema_of(tmp_path, {"type": "long", "logicalType": logical}))
    assert fault.startswith(f'field "f0" is of type {logical}, ')
    assert (
        flink_avro.faults(schema_of(tmp_path, {"type": "long", "logicalType": "of-somebody"}, {"type": "string", "logicalType": "uuid"}))
        == []
    )
