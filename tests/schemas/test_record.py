"""Schema files: what they may hold, and that every fault is named in one line."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from schemas.errors import DefinitionError, SettingError
from schemas.schema import BUILT_IN, SchemaSet, parse
from schemas.types import DataType
from schemas.wire import Decoder
from tests.schemas.conftest import READING_2, TIME, write

SHIPPED = Path(__file__).parents[2] / "schemas"


def record(*fields: object, name: str = "thing") -> dict[str, object]:
    return {"type": "record", "name": name, "fields": list(fields)}


def test_types_nullability_and_defaults_are_read() -> None:
    schema = parse(READING_2, name="reading")
    assert schema.columns == {
        "event_time": DataType.TIMESTAMP,
        "sensor": DataType.STRING,
        "count": DataType.INT64,
        "value": DataType.FLOAT64,
        "raw": DataType.FLOAT64,
        "active": DataType.BOOLEAN,
        "colour": DataType.STRING,
        "note": DataType.STRING,
        "seen": DataType.TIMESTAMP,
    }
    assert schema.nullable == {"note", "seen"}
    fields = {field.name: field for field in schema.fields}
    assert (fields["value"].has_default, fields["raw"].default, fields["note"].has_default, fields["note"].default) == (
        False,
        0.5,
        True,
        None,
    )
    assert (fields["raw"].non_finite_allowed, fields["value"].non_finite_allowed) == (True, False)
    assert (fields["colour"].symbols, fields["colour"].unknown_symbol) == (("red", "green"), "red")
    assert schema.arrow.field("seen") == pa.field("seen", pa.timestamp("ms", tz="UTC"))


def test_fingerprint_is_the_specifications() -> None:
    """The Rabin fingerprint of the canonical form, computed here from the specification's own table-free definition."""
    schema = parse(record({"name": "x", "type": TIME, "doc": "stripped"}), name="thing")
    canonical = b'{"name":"thing","type":"record","fields":[{"name":"x","type":"long"}]}'
    empty = value = 0xC15D213AA4D7A795
    for octet in canonical:
        value ^= octet
        for _ in range(8):
            value = (value >> 1) ^ (empty if value & 1 else 0)
    assert schema.fingerprint == value.to_bytes(8, "little")


def test_shipped_schemas_load_and_built_in_ones_are_always_there() -> None:
    shipped = SchemaSet.load(SHIPPED)
    assert set(shipped.names) == {path.stem for path in SHIPPED.glob("*.avsc")}
    assert SchemaSet.load().names == tuple(sorted(BUILT_IN))
    prediction = shipped.current("prediction")
    assert shipped.by_fingerprint(prediction.fingerprint) is prediction
    assert prediction.columns["score"] is DataType.FLOAT64
    assert "features" not in prediction.columns  # a map: only for the codec


def test_versions_are_ordered_by_number(tmp_path: Path) -> None:
    for version in (10, 2, 1):
        fields = [{"name": f"f{number}", "type": "int", "default": 0} for number in range(version)]
        write(tmp_path, "thing.avsc" if version == 1 else f"thing.v{version}.avsc", record(*fields))
    schemas = SchemaSet.load(tmp_path)
    assert [schema.version for schema in schemas.versions("thing")] == [1, 2, 10]
    assert schemas.current("thing").version == 10


def test_unknown_name_tells_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r'no schema "predicton" .*did you mean "prediction"\?'):
        SchemaSet.load().current("predicton")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([{"name": "a", "type": "bytes"}], r'thing\.avsc: field "a" is bytes; allowed: int, long, .*timestamp-millis'),
        ([{"name": "a", "type": {"type": "array", "items": "int"}}], r'field "a" is array; allowed'),
        (
            [{"name": "a", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4}}],
            r'field "a" is decimal, which no field holds; declare a',
        ),
        (
            [{"name": "a", "type": {"type": "bytes", "logicalType": "big-decimal"}}],
            r'field "a" is big-decimal, which no field holds; allowed',
        ),
        (
            [{"name": "a", "type": {"type": "long", "logicalType": "local-timestamp-micros"}}],
            r'field "a" is local-timestamp-micros, a time in no known zone .*; declare timestamp-micros if it is in UTC; allowed',
        ),
        (
            [{"name": "a", "type": ["null", {"type": "fixed", "name": "d", "size": 12, "logicalType": "duration"}]}],
            r'field "a" is duration, which no field holds',
        ),
        ([{"name": "a", "type": "int", "path": "x..y"}], r'field "a" has a wrong "path" "x..y"; allowed: names with dots'),
        ([{"name": "a", "type": "int", "path": "x.y"}, {"name": "b", "type": "int", "path": "x.y"}], r'"path" x.y is of 2 fields'),
        ([{"name": "a", "type": "int", "default": 2**31}], r'field "a" has default 2147483648, which is no 32-bit integer'),
        ([{"name": "a", "type": ["null", "int", "string"]}], r'field "a" is a union of .*; allowed'),
        ([{"name": "a", "type": "int", "default": "x"}], r"Default value <x> must match schema type: int"),
        ([{"name": "a", "type": "int", "default": True}], r'field "a" has default true'),
        ([{"name": "a", "type": "int", "non_finite": True}], r'field "a" has a wrong "non_finite"; allowed: true on a float or double'),
        ([{"name": "a", "type": "int"}, {"name": "A", "type": "int"}], r'field "A" is there twice \(as "a"\)'),
        ([{"name": "a-b", "type": "int"}], r"a-b"),
        ([{"name": "a", "type": "nothing"}], r"not an Avro schema: UnknownType"),
        ([], r"the record has no field"),
    ],
)
def test_what_cannot_be_a_field_is_refused_in_one_line(tmp_path: Path, fields: list[object], message: str) -> None:
    write(tmp_path, "thing.avsc", record(*fields))
    with pytest.raises(DefinitionError, match=message) as caught:
        SchemaSet.load(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_all_faults_of_all_files_come_together(tmp_path: Path) -> None:
    write(tmp_path, "one.avsc", record({"name": "a", "type": "bytes"}, {"name": "b", "type": "bytes"}))
    write(tmp_path, "two.avsc", "{")
    write(tmp_path, "three-3.avsc", record({"name": "a", "type": "int"}))
    write(tmp_path, "four.avsc", '"string"')
    with pytest.raises(DefinitionError) as caught:
        SchemaSet.load(tmp_path)
    assert len(caught.value.problems) == 5


def test_a_version_that_cannot_read_the_older_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "thing.avsc", record({"name": "a", "type": "string"}))
    write(tmp_path, "thing.v2.avsc", record({"name": "a", "type": "string"}, {"name": "b", "type": "int"}))
    write(tmp_path, "thing.v3.avsc", record({"name": "a", "type": "double"}, {"name": "b", "type": "int", "default": 0}))
    with pytest.raises(DefinitionError) as caught:
        SchemaSet.load(tmp_path)
    assert [problem.split("thing.v3.avsc: ")[1] for problem in caught.value.problems] == [
        'records of version 1 cannot be read as version 3: field "a": expected float64, got string',
        'records of version 2 cannot be read as version 3: field "a": expected float64, got string',
    ]


def test_a_built_in_name_cannot_mean_something_else(tmp_path: Path) -> None:
    write(tmp_path, "watermark.avsc", record({"name": "a", "type": "int"}, name="watermark"))
    with pytest.raises(DefinitionError, match=r'schema "watermark" version 1 is already in .*give it another name'):
        SchemaSet.load(tmp_path)
    write(tmp_path, "watermark.avsc", (SHIPPED / "watermark.avsc").read_text())
    assert SchemaSet.load(tmp_path).names == tuple(sorted(BUILT_IN))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"nowhere is not a folder; TIDEMARK_SCHEMAS"):
        SchemaSet.load(tmp_path / "nowhere")


def test_an_older_version_may_hold_what_the_newest_does_not_read_or_reads_otherwise(tmp_path: Path) -> None:
    """A public schema as it is, and beside it how its decimals are to be read."""
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    write(tmp_path, "thing.avsc", record({"name": "a", "type": decimal}, {"name": "b", "type": {"type": "array", "items": "int"}}))
    write(tmp_path, "thing.v2.avsc", record({"name": "a", "type": "double"}))
    assert [schema.columns for schema in SchemaSet.load(tmp_path).versions("thing")] == [{}, {"a": DataType.FLOAT64}]


@pytest.mark.parametrize(
    "text",
    [
        """// As published; see https://example.org/a//b
        [{"type": "record", "name": "thing", /* the only one */ "fields": [
            {"name": "a", "type": "string", "default": "http://x/*no*/ \\"//"} // a text may look like a comment
        ]}]""",
        """{"type": "record", "name": "thing", "fields": [{"name": "a", "type": "string", "default": "http://x/*no*/ \\"//"}]}""",
    ],
)
def test_comments_and_an_array_of_one_record_are_as_public_files_have_them(tmp_path: Path, text: str) -> None:
    write(tmp_path, "thing.avsc", text)
    (field,) = SchemaSet.load(tmp_path).current("thing").fields
    assert (field.name, field.default) == ("a", 'http://x/*no*/ "//')


def test_an_array_of_several_types_is_no_record(tmp_path: Path) -> None:
    write(tmp_path, "thing.avsc", [record({"name": "a", "type": "int"}), record({"name": "a", "type": "int"}, name="other")])
    with pytest.raises(DefinitionError, match=r"a schema must be an Avro record"):
        SchemaSet.load(tmp_path)


def test_a_logical_type_beside_the_type_is_hinted_at_and_counts_for_nothing() -> None:
    schema = parse(record({"name": "t", "type": "long", "logicalType": "timestamp-millis"}), name="thing")
    assert schema.columns == {"t": DataType.INT64}
    with pytest.raises(
        DefinitionError, match=r'is int64; event time is timestamp-millis; "logicalType" stands beside "type", where Avro ig'
    ):
        Decoder(SchemaSet([schema, SchemaSet.load().current("watermark")]), "thing", event_time="t", max_ahead_ms=0)


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ({"type": "long", "logicalType": "of-somebody"}, DataType.INT64),
        ({"type": "string", "logicalType": "timestamp-millis"}, DataType.STRING),
        ({"type": "int", "logicalType": "timestamp-millis"}, DataType.INT64),
        ({"type": "int", "logicalType": 7}, DataType.INT64),
        ({"type": "string", "logicalType": "uuid"}, DataType.STRING),
        ({"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"}, DataType.STRING),
        ({"type": "long", "logicalType": "timestamp-micros"}, DataType.TIMESTAMP),
        ({"type": "long", "logicalType": "timestamp-nanos"}, DataType.TIMESTAMP),
        ({"type": "int", "logicalType": "date"}, DataType.TIMESTAMP),
        ({"type": "int", "logicalType": "time-millis"}, DataType.INT64),
        ({"type": "long", "logicalType": "time-micros"}, DataType.INT64),
    ],
)
def test_what_a_logical_type_makes_of_a_field(kind: object, type_: DataType) -> None:
    assert parse(record({"name": "a", "type": kind}), name="thing").columns == {"a": type_}


@pytest.mark.parametrize(
    ("kind", "given", "default"),
    [
        ("float", 0.1, 0.10000000149011612),
        ({"type": "long", "logicalType": "timestamp-micros"}, -1, -1),
        ({"type": "int", "logicalType": "date"}, 2, 172_800_000),
        ({"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"}, "\u00ff" * 16, "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ],
)
def test_a_default_is_read_as_its_field_is(kind: object, given: object, default: object) -> None:
    (field,) = parse(record({"name": "a", "type": kind, "default": given}), name="thing").fields
    assert (field.default, type(field.default)) == (default, type(default))
