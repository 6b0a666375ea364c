"""The three wire formats: good records come through, bad ones are refused with their reason and harm no other."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.errors import DataError, DefinitionError
from schemas.schema import Schema, SchemaSet
from schemas.wire import BAD, MARKER, NO_TIME, OK, Decoder, Encoder, encode, marker, read_object
from tests.schemas.conftest import NOW_MS

YEAR_2100_MS = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def schema(schemas: SchemaSet) -> Schema:
    return schemas.current("reading")


def reason(decoder: Decoder, body: bytes | None) -> str:
    """Why the middle one of three messages is refused; its neighbours are good."""
    good = json.dumps({"event_time": 1, "sensor": "a", "count": 1, "value": 1}).encode()
    decoded = decoder.decode([good, body, good])
    assert decoded.kind.tolist() == [OK, BAD, OK]
    assert decoded.reasons[0] is decoded.reasons[2] is None
    assert {values[1] for values in decoded.columns.values()} == {None}
    assert decoded.columns["sensor"] == ["a", None, "a"]
    assert decoded.reasons[1] is not None
    return decoded.reasons[1]


def row(decoder: Decoder, body: bytes) -> dict[str, Any]:
    decoded = decoder.decode([body])
    assert decoded.reasons == [None]
    assert decoded.kind.tolist() == [OK]
    return {name: values[0] for name, values in decoded.columns.items()}


def test_single_object_record_comes_back(decoder: Decoder, schema: Schema, reading: dict[str, Any]) -> None:
    assert row(decoder, encode(schema, reading)) == reading


def test_json_record_comes_back(decoder: Decoder, reading: dict[str, Any]) -> None:
    reading["raw"] = 1.0
    assert row(decoder, json.dumps(reading).encode()) == reading


def test_json_takes_integers_for_doubles_iso_times_defaults_and_unknown_fields(decoder: Decoder) -> None:
    body = b' {"event_time": "2013-10-01T05:00:00.0019-04:00", "sensor": "a", "count": 1, "value": 7, "whatever": {"x": [1]}}'
    got = row(decoder, body)
    assert got["event_time"] == 1_380_618_000_001
    assert (got["value"], type(got["value"])) == (7.0, float)
    assert (got["raw"], got["active"], got["colour"], got["note"], got["seen"]) == (0.5, True, "green", None, None)


def test_older_version_is_resolved_to_the_current_one(decoder: Decoder, schemas: SchemaSet) -> None:
    older = schemas.versions("reading")[0]
    got = row(decoder, encode(older, {"sensor": "s", "event_time": 5, "count": 7, "old_value": 0.25}))
    assert got == {
        "event_time": 5,
        "sensor": "s",
        "count": 7,
        "value": 0.25,
        "raw": 0.5,
        "active": True,
        "colour": "green",
        "note": None,
        "seen": None,
    }


def test_formats_and_versions_mix_in_one_batch(decoder: Decoder, schemas: SchemaSet, schema: Schema, reading: dict[str, Any]) -> None:
    older = schemas.versions("reading")[0]
    bodies = [
        encode(schema, reading | {"sensor": "0"}),
        b"{}",
        encode(older, {"sensor": "2", "event_time": 5, "count": 7, "old_value": 0.25}),
        None,
        marker(17),
        json.dumps({"event_time": 1, "sensor": "5", "count": 1, "value": 1}).encode(),
        encode(schema, reading | {"sensor": "6"})[:-1],
        encode(schema, reading | {"sensor": "7"}),
    ]
    decoded = decoder.decode(bodies)
    assert decoded.kind.tolist() == [OK, BAD, OK, BAD, MARKER, OK, BAD, OK]
    assert decoded.columns["sensor"] == ["0", None, "2", None, None, "5", None, "7"]
    assert [text and text.split(":")[0] for text in decoded.reasons] == [None, "missing", None, "tombstone", None, None, "truncated", None]


def test_empty_batch_has_empty_columns(decoder: Decoder) -> None:
    decoded = decoder.decode([])
    assert decoded.kind.tolist() == [] and decoded.reasons == []
    assert set(decoded.columns) == set(decoder.schema.columns) and not any(decoded.columns.values())


def test_tombstone_empty_and_foreign_bytes(decoder: Decoder) -> None:
    assert reason(decoder, None) == "tombstone: the message has no value"
    assert reason(decoder, b"") == "empty: the message has no bytes"
    assert reason(decoder, b"hello") == "unknown-format: first byte 68; allowed: Avro single-object (c3 01), Confluent (00) or JSON"
    assert reason(decoder, b"\xc3").startswith("unknown-format: first byte c3")
    assert reason(decoder, b"\xc3\x01\x00") == "truncated: the Avro header ends early"
    assert reason(decoder, b"\x00\x00\x00\x01") == "truncated: the schema id ends early"


def test_nothing_is_kept_of_what_is_unknown(decoder: Decoder) -> None:
    """There are 2³² schema ids and 2⁶⁴ fingerprints that a record may name."""
    before = len(vars(decoder)["_readers"])
    bodies = [
        header + number.to_bytes(size, "big") + b"body" for number in range(1, 200) for header, size in ((b"\0", 4), (b"\xc3\x01", 8))
    ]
    assert decoder.decode(bodies).kind.tolist() == [BAD] * len(bodies)
    assert len(vars(decoder)["_readers"]) == before


def test_unknown_fingerprint(decoder: Decoder) -> None:
    assert reason(decoder, b"\xc3\x01" + bytes(8) + b"abc") == 'unknown-fingerprint: 0000000000000000 is no version of "reading"'


def test_another_schemas_record(decoder: Decoder, schemas: SchemaSet) -> None:
    body = encode(schemas.current("closing"), {"view": "v", "tile_end": 1, "tiles": 1})
    assert reason(decoder, body).endswith('is schema "closing", expected "reading"')


def test_every_truncation_is_refused(decoder: Decoder, schema: Schema, reading: dict[str, Any]) -> None:
    body = encode(schema, reading)
    for length in range(2, len(body)):
        assert reason(decoder, body[:length]).startswith("truncated:")


def test_over_long_record(decoder: Decoder, schema: Schema, reading: dict[str, Any]) -> None:
    assert reason(decoder, encode(schema, reading) + b"\0") == "over-long: 1 byte after the record"
    assert reason(decoder, encode(schema, reading) + b"abc") == "over-long: 3 bytes after the record"


@pytest.mark.parametrize("length", [2**40, 2**62, -1, -(2**63), 2**31])
def test_huge_and_negative_lengths_cost_nothing(decoder: Decoder, schema: Schema, length: int) -> None:
    zigzag = (length << 1) ^ (length >> 63)
    octets = bytearray()
    zigzag &= 2**64 - 1
    while zigzag >= 0x80:
        octets.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    octets.append(zigzag)
    body = b"\xc3\x01" + schema.fingerprint + b"\x02" + bytes(octets) + b"abc"
    assert reason(decoder, body) == "truncated: a length says more bytes than there are"


def test_integers_wider_than_their_type(decoder: Decoder, schema: Schema, schemas: SchemaSet) -> None:
    head = b"\xc3\x01" + schema.fingerprint
    assert reason(decoder, head + b"\xff" * 10 + b"\x01" * 20) == "wrong-type: an integer of more than 64 bits"
    assert reason(decoder, head + b"\xff" * 9 + b"\x02" + b"\x01" * 20) == "wrong-type: an integer of more than 64 bits"
    older = schemas.versions("reading")[0]
    body = b"\xc3\x01" + older.fingerprint + b"\x02a" + b"\x02" + b"\x80\x80\x80\x80\x10" + struct.pack("<f", 1)
    assert reason(decoder, body) == 'wrong-type: field "count": 2147483648 is no 32-bit integer'


def test_bytes_that_no_writer_makes(decoder: Decoder, schema: Schema, reading: dict[str, Any]) -> None:
    body = encode(schema, reading | {"sensor": "abc", "active": True, "colour": "red", "seen": None})
    at = body.index(b"\x06abc")
    assert reason(decoder, body.replace(b"abc", b"\xff\xfe\xfd")) == 'wrong-type: field "sensor": a string that is not UTF-8'
    tail = at + 4 + 1 + 8 + 8
    assert body[tail:] == b"\x01\x00\x00\x00"  # active, colour, note, seen
    assert reason(decoder, body[:tail] + b"\x02\x00\x00\x00") == 'wrong-type: field "active": a boolean is 0 or 1, got 2'
    assert reason(decoder, body[:tail] + b"\x01\x04\x00\x00") == 'wrong-type: field "colour": symbol 2 of an enum with 2'
    assert reason(decoder, body[:tail] + b"\x01\x00\x04\x00") == 'wrong-type: field "note": branch 2 of a union with 2'
    assert reason(decoder, body[:tail] + b"\x01\x00\x01\x00") == 'wrong-type: field "note": branch -1 of a union with 2'


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"count": "1"}, 'wrong-type: field "count": expected int64, got string'),
        ({"count": 1.0}, 'wrong-type: field "count": expected int64, got double'),
        ({"count": True}, 'wrong-type: field "count": expected int64, got boolean'),
        ({"count": 2**63}, 'wrong-type: field "count": expected int64, got an integer of more than 64 bits'),
        ({"value": True}, 'wrong-type: field "value": expected float64, got boolean'),
        ({"value": "1.0"}, 'wrong-type: field "value": expected float64, got string'),
        ({"value": 10**400}, 'non-finite: field "value" is inf'),
        ({"value": "nan"}, 'wrong-type: field "value": expected float64, got string'),
        ({"value": "NaN"}, 'non-finite: field "value" is nan'),
        ({"value": float("nan")}, 'non-finite: field "value" is nan'),
        ({"active": 1}, 'wrong-type: field "active": expected boolean, got integer'),
        ({"sensor": 7}, 'wrong-type: field "sensor": expected string, got integer'),
        ({"sensor": ["a"]}, 'wrong-type: field "sensor": expected string, got array'),
        ({"sensor": "\ud800"}, 'wrong-type: field "sensor": a lone surrogate is no text'),
        ({"sensor": None}, 'wrong-type: field "sensor": expected string, got null'),
        ({"event_time": 1.5}, 'wrong-type: field "event_time": expected timestamp-millis, got double'),
        ({"event_time": "yesterday"}, "wrong-type: field \"event_time\": 'yesterday' is not an ISO 8601 time"),
        (
            {"event_time": "2013-10-01T05:00:00"},
            "wrong-type: field \"event_time\": '2013-10-01T05:00:00' has no offset; write Z or +00:00 behind it",
        ),
        ({"seen": 10**18}, 'out-of-range: field "seen": 1000000000000000000 ms is not in the years 1 to 9999'),
    ],
)
def test_json_of_the_wrong_type(decoder: Decoder, change: dict[str, Any], expected: str) -> None:
    record = {"event_time": 1, "sensor": "a", "count": 1, "value": 1.0}
    assert reason(decoder, json.dumps(record | change).encode()) == expected


@pytest.mark.parametrize("field", ["event_time", "sensor", "count", "value"])
def test_json_without_a_field(decoder: Decoder, field: str) -> None:
    record: dict[str, Any] = {"event_time": 1, "sensor": "a", "count": 1, "value": 1.0}
    del record[field]
    assert reason(decoder, json.dumps(record).encode()) == f'missing: field "{field}"'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"event_time": NaN}', 'wrong-type: field "event_time": expected timestamp-millis, got double'),
        (b'{"value": 1, "event_time": 1, "sensor": "a", "count": 1, "value": 2}', "not-json: 'value' is there twice in one object"),
        (b'{"value" :1, "event_time": 1, "sensor": "a", "count": 1, "value"\t:2}', "not-json: 'value' is there twice in one object"),
        (b'{"event_time": 1, "sensor": "a", "count": 1, "value": 1, "x": [{"y": {"a": 1, "a": 1}}]}', "not-json: 'a' is there twice"),
        (b'{"value": 1e999, "event_time": 1, "sensor": "a", "count": 1}', 'non-finite: field "value" is inf'),
        (b"{", "not-json: Expecting property name"),
        (b"{} {}", "not-json: Extra data"),
        (b"   [1]", "not-json: expected an object, got array"),
        (b'{"a": "\xff"}', "not-json: not UTF-8"),
        (b'{"a":' + b"[" * 100_000, "not-json: nested too deeply"),
        (b'{"a":' + b"1" * 5_000 + b"}", "not-json: "),
    ],
)
def test_what_is_not_json(decoder: Decoder, body: bytes, expected: str) -> None:
    assert reason(decoder, body).startswith(expected)


def test_null_in_a_key_is_missing(make_decoder: Callable[..., Decoder], schema: Schema, reading: dict[str, Any]) -> None:
    decoder = make_decoder(required=("note",))
    assert decoder.decode([encode(schema, reading)]).reasons == ['missing: field "note" is null']


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_passes_only_where_declared(decoder: Decoder, schema: Schema, reading: dict[str, Any], value: float) -> None:
    assert reason(decoder, encode(schema, reading | {"value": value})) == f'non-finite: field "value" is {value}'
    assert str(row(decoder, encode(schema, reading | {"raw": value}))["raw"]) == str(value)


def test_event_of_the_year_2100_is_refused(decoder: Decoder, schema: Schema, reading: dict[str, Any]) -> None:
    expected = "future: event_time 2100-01-01T00:00:00.000Z is more than 60 s ahead of the clock"
    assert reason(decoder, encode(schema, reading | {"event_time": YEAR_2100_MS})) == expected
    assert reason(decoder, b'{"event_time": "2100-01-01T00:00:00Z", "sensor": "a", "count": 1, "value": 1}') == expected
    assert reason(decoder, encode(schema, reading | {"event_time": 2**62})).startswith("future: event_time 4611686018427387904 ms")


def test_the_allowed_skew_is_inclusive(decoder: Decoder, schema: Schema, reading: dict[str, Any]) -> None:
    assert row(decoder, encode(schema, reading | {"event_time": NOW_MS + 60_000}))["event_time"] == NOW_MS + 60_000
    assert reason(decoder, encode(schema, reading | {"event_time": NOW_MS + 60_001})).startswith("future:")


def test_other_timestamps_may_be_in_the_future(decoder: Decoder, schema: Schema, reading: dict[str, Any]) -> None:
    assert row(decoder, encode(schema, reading | {"seen": YEAR_2100_MS}))["seen"] == YEAR_2100_MS


@pytest.mark.parametrize("ms", [0, -1, -(10**12)])
def test_event_of_1970_and_before_is_read(decoder: Decoder, schema: Schema, reading: dict[str, Any], ms: int) -> None:
    """Whether it is late is not the decoder's to say."""
    assert row(decoder, encode(schema, reading | {"event_time": ms}))["event_time"] == ms


@pytest.mark.parametrize(
    ("ms", "hint"),
    [
        (1_380_600_000, "; were seconds given where milliseconds are declared?"),
        (0, ""),
        (-1, ""),
        (1_356_998_399_999, ""),
    ],
)
def test_event_before_the_earliest_of_its_source_is_refused(
    make_decoder: Callable[..., Decoder], schema: Schema, reading: dict[str, Any], ms: int, hint: str
) -> None:
    earliest = make_decoder(earliest_ms=1_356_998_400_000)
    bodies = [encode(schema, reading | {"event_time": ms}), b'{"sensor": "a", "count": 1, "value": 1, "event_time": %d}' % ms]
    good = [encode(schema, reading | {"event_time": 1_356_998_400_000, "seen": 0})]
    decoded = earliest.decode([*bodies, *good])
    time = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    why = f"too-early: event_time {time} is before 2013-01-01T00:00:00.000Z, the earliest_event_time of its source{hint}"
    assert decoded.reasons == [why, why, None]
    assert decoded.time_ms.tolist() == [NO_TIME, NO_TIME, 1_356_998_400_000]


@pytest.mark.parametrize(("factor", "unit"), [(1_000, "microseconds"), (1_000_000, "nanoseconds")])
def test_finer_units_than_milliseconds_are_asked_for(
    decoder: Decoder, schema: Schema, reading: dict[str, Any], factor: int, unit: str
) -> None:
    body = encode(schema, reading | {"event_time": 1_380_600_000_000 * factor})
    assert reason(decoder, body).endswith(f"ahead of the clock; were {unit} given where milliseconds are declared?")


def test_event_before_the_year_1_is_refused(decoder: Decoder, schema: Schema, reading: dict[str, Any]) -> None:
    assert reason(decoder, encode(schema, reading | {"event_time": -(2**63)})).startswith('out-of-range: field "event_time"')


def test_2_mb_message_is_refused_unread(decoder: Decoder, schema: Schema, reading: dict[str, Any]) -> None:
    body = encode(schema, reading | {"sensor": "x" * 2_000_000})
    assert reason(decoder, body) == f"too-large: {len(body)} bytes; allowed: 1048576"


def test_2_mb_message_is_read_where_allowed(make_decoder: Callable[..., Decoder], schema: Schema, reading: dict[str, Any]) -> None:
    assert len(row(make_decoder(max_bytes=1 << 22), encode(schema, reading | {"sensor": "x" * 2_000_000}))["sensor"]) == 2_000_000


def test_marker_is_neither_record_nor_refused(decoder: Decoder) -> None:
    decoded = decoder.decode([marker(5), marker(YEAR_2100_MS, final=True), marker(5)[:-1]])
    assert decoded.kind.tolist() == [MARKER, MARKER, BAD]
    assert decoded.reasons == [None, None, "truncated: the record ends inside a field"]


def test_confluent_framing_without_a_registry(decoder: Decoder) -> None:
    assert reason(decoder, b"\0\0\0\0\x2aabc") == "unknown-schema: id 42: no registry is set (TIDEMARK_REGISTRY)"


def test_decoder_of_a_field_that_is_not_there(make_decoder: Callable[..., Decoder]) -> None:
    with pytest.raises(DefinitionError, match=r'no field "nothing"; there are event_time, sensor'):
        make_decoder(required=("nothing",))
    with pytest.raises(DefinitionError, match=r'field "count" is int64; event time is timestamp-millis'):
        make_decoder(event_time="count")


def test_encoder_refuses_what_the_schema_does_not_allow(schema: Schema, reading: dict[str, Any]) -> None:
    with pytest.raises(DataError, match='schema "reading"'):
        encode(schema, reading | {"sensor": 5})
    del reading["sensor"]
    with pytest.raises(DataError, match="sensor"):
        encode(schema, reading)


def test_batch_encoding_is_the_same(schema: Schema, reading: dict[str, Any]) -> None:
    columns = {name: [value, value] for name, value in reading.items()}
    assert Encoder(schema).batch(columns) == [encode(schema, reading)] * 2


def test_maps_and_arrays_of_a_prediction_come_back() -> None:
    schemas = SchemaSet.load()
    prediction = {
        "request_id": "r1",
        "event_time": datetime(2013, 10, 1, tzinfo=UTC),
        "service": "flight_delay",
        "service_version": "0123456789abcdef",
        "model": "m",
        "model_version": "1",
        "variant": "champion",
        "shard": 0,
        "score": 0.75,
        "scores": [0.25, 0.75],
        "features": {"count": 3, "mean": 2.0, "last": None, "flag": True, "carrier": "UA"},
        "request": {"hour": 5},
        "frontier": datetime(2013, 10, 1, tzinfo=UTC),
        "stale": False,
        "stale_age_ms": 0,
        "unseen": ["origin_departures"],
        "scored_at": datetime(2013, 10, 1, tzinfo=UTC),
        "data_version": "fedcba9876543210",
        "code_version": "0.1.0+0123456789ab",
    }
    body = encode(schemas.current("prediction"), prediction)
    schema, got = read_object(schemas, body)
    assert (schema.name, got) == ("prediction", prediction)
    assert [type(value) for value in got["features"].values()] == [int, float, type(None), bool, str]
    for damaged in (body[:-1], body + b"\0", b"", body[:10] + b"\xff" * 20, b"\xc3\x01" + bytes(8)):
        with pytest.raises(DataError):
            read_object(schemas, damaged)


def test_a_batch_is_read_as_its_messages_are_one_by_one(
    decoder: Decoder, schemas: SchemaSet, schema: Schema, reading: dict[str, Any]
) -> None:
    """Whatever follows a message: the first does not say what the others are."""
    first = encode(schema, reading)
    others = [
        encode(schema, reading | {"sensor": "another"}),
        encode(schema, reading | {"note": "x" * (1 << 20)}),
        encode(schemas.versions("reading")[0], {"sensor": "2", "event_time": 5, "count": 7, "old_value": 0.25}),
        first[:10],
        first[:9],
        b"\xc3\x01" + bytes(8),
        json.dumps({"event_time": 1, "sensor": "5", "count": 1, "value": 1}).encode(),
        marker(17),
        b"",
        None,
    ]
    alone = {body: decoder.decode([body]) for body in [first, *others]}
    for other in others:
        for bodies in ([first, other], [other, first], [first, other, first], [first, first], others):
            together = decoder.decode(bodies)
            assert together.reasons == [alone[body].reasons[0] for body in bodies]
            assert together.kind.tolist() == [int(alone[body].kind[0]) for body in bodies]
            assert together.time_ms.tolist() == [int(alone[body].time_ms[0]) for body in bodies]
            assert together.columns == {name: [alone[body].columns[name][0] for body in bodies] for name in schema.columns}
