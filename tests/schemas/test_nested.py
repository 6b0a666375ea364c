"""Records within records and in envelopes: what lies at a path is read, in Avro and JSON alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.avro_columns import Incompatible
from schemas.envelope import Envelope
from schemas.registry import Registry
from schemas.schema import SchemaSet, parse
from schemas.wire import BAD, OK, Decoded, Decoder, Encoder
from tests.schemas.conftest import TIME
from tests.schemas.registry_server import framed, registry_server
from tests.schemas.test_avro_laws import TEXT, read, written

OURS: dict[str, Any] = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "event_time", "type": TIME, "path": "meta.at"},
        {"name": "user", "type": "string", "path": "user.id"},
        {"name": "city", "type": ["null", "string"], "path": "user.address.city", "default": "nowhere"},
        {"name": "zip", "type": ["null", "float"], "path": "user.address.zip"},
        {"name": "total", "type": "double"},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}
ADDRESS = {"type": "record", "name": "Address", "fields": [
    {"name": "street", "type": {"type": "array", "items": "string"}}, {"name": "city", "type": "string"}, {"name": "zip", "type": ["null", "float"]}]}  # fmt: skip
THEIRS: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "user", "type": {"type": "record", "name": "User", "fields": [
            {"name": "tags", "type": {"type": "map", "values": "int"}},
            {"name": "id", "type": "string"},
            {"name": "address", "type": ["null", ADDRESS]},
            {"name": "billing", "type": ["Address", "null"]}]}},
        {"name": "total", "type": "float"},
        {"name": "meta", "type": ["null", {"type": "record", "name": "Meta", "fields": [{"name": "at", "type": "long"}, {"name": "note", "type": "string"}]}]},
    ],
}  # fmt: skip
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
ADDRESSES = st.fixed_dictionaries({"street": st.lists(TEXT, max_size=2), "city": TEXT, "zip": st.none() | FLOATS})
ORDERS = st.fixed_dictionaries(
    {
        "user": st.fixed_dictionaries(
            {
                "tags": st.dictionaries(TEXT, st.integers(0, 5), max_size=2),
                "id": TEXT,
                "address": st.none() | ADDRESSES,
                "billing": st.none() | ADDRESSES,
            }
        ),
        "total": FLOATS,
        "meta": st.none() | st.fixed_dictionaries({"at": st.integers(0, 10**12), "note": TEXT}),
    }
)


def decoder_of(ours: dict[str, Any], registry: Registry | None = None, envelope: Envelope | None = None) -> Decoder:
    schemas = SchemaSet([parse(ours, name="ours"), SchemaSet.load().current("watermark")])
    return Decoder(schemas, "ours", registry=registry, envelope=envelope, event_time="event_time", max_ahead_ms=0)


@pytest.fixture(scope="module")
def decoders() -> Any:
    with registry_server() as server:
        server.answers = {1: (200, {"schema": json.dumps(THEIRS)}), 2: (200, {"schema": json.dumps(CHANGE)})}
        yield decoder_of(OURS, Registry(server.url)), decoder_of(ROW, Registry(server.url), Envelope.DEBEZIUM)


def confluent(schema_id: int, schema: Any, record: dict[str, Any]) -> bytes:
    return framed(schema_id, bytes(10) + written(schema, record))


def same(one: Decoded, other: Decoded) -> bool:
    return (one.kind.tolist(), one.reasons, one.columns, one.time_ms.tolist()) == (
        other.kind.tolist(),
        other.reasons,
        other.columns,
        other.time_ms.tolist(),
    )


@given(orders=st.lists(ORDERS, min_size=1, max_size=6))
def test_what_lies_at_a_path_is_read_in_avro_and_json_alike(decoders: tuple[Decoder, Decoder], orders: list[dict[str, Any]]) -> None:
    decoder = decoders[0]
    avro = decoder.decode([confluent(1, THEIRS, order) for order in orders])
    assert same(decoder.decode([json.dumps(order).encode() for order in orders]), avro)
    for row, order in enumerate(orders):
        if order["meta"] is None:
            assert avro.reasons[row] == 'missing: field "event_time": "meta" is null'
            continue
        address = order["user"]["address"] or {"city": None, "zip": None}
        assert {name: values[row] for name, values in avro.columns.items()} == {
            "event_time": order["meta"]["at"],
            "user": order["user"]["id"],
            "city": address["city"],
            "zip": address["zip"],
            "total": order["total"],
            "note": None,
        }


def test_records_of_our_own_shape_are_flat(decoders: tuple[Decoder, Decoder]) -> None:
    record = {"event_time": 5, "user": "u", "city": "c", "zip": 1.5, "total": 2.0, "note": None}
    for decoder in (decoders[0], decoder_of(OURS, envelope=Envelope.DEBEZIUM)):
        decoded = decoder.decode([Encoder(decoder.schema).encode(record), json.dumps(record).encode()])
        assert decoded.columns == {name: [value] * 2 for name, value in record.items()}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"user": {"id": "u"}}, {"city": "nowhere", "zip": None}),
        ({"user": {"id": "u", "address": {}}}, {"city": "nowhere", "zip": None}),
        ({"user": {"id": "u", "address": {"city": None}}}, {"city": None}),
        ({"user": {"id": "u", "address": 5}}, 'wrong-type: field "city": "user.address": expected an object, got integer'),
        ({"user": {}}, 'missing: field "user"'),
        ({"user": None}, 'wrong-type: field "user": expected string, got null'),
        ({"meta": {"at": "x"}}, "wrong-type: field \"event_time\": 'x' is not an ISO 8601 time"),
        ({"meta": {}}, 'missing: field "event_time"'),
        ({"meta": [1]}, 'missing: field "event_time"'),
    ],
)
def test_what_json_lacks_on_the_way(decoders: tuple[Decoder, Decoder], change: dict[str, Any], expected: Any) -> None:
    record = {"meta": {"at": 1}, "user": {"id": "u", "address": {"city": "c", "zip": 1}}, "total": 1}
    decoded = decoders[0].decode([json.dumps(record | change).encode()])
    if isinstance(expected, str):
        assert decoded.reasons == [expected]
    else:
        assert {name: decoded.columns[name][0] for name in expected} == expected


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"type": "array", "items": "int"}, r'field "x" is not in the writer\'s schema \(nor anything at "a.b"\) and has no default'),
        ({"type": "map", "values": "int"}, r"nor anything at"),
        ("int", r"nor anything at"),
        ({"type": "record", "name": "i", "fields": [{"name": "b", "type": "string"}]}, r'field "x": expected int, got string'),
        ({"type": "record", "name": "i", "fields": [{"name": "c", "type": "int"}]}, r'field "x" is not in the writer'),
    ],
)
def test_a_path_into_what_is_no_record_leads_nowhere(kind: Any, message: str) -> None:
    ours = {"type": "record", "name": "r", "fields": [{"name": "x", "type": "int", "path": "a.b"}]}
    with pytest.raises(Incompatible, match=message):
        read({"type": "record", "name": "r", "fields": [{"name": "a", "type": kind}]}, ours, [])


@given(st.binary(max_size=60))
def test_damage_within_records_within_records_never_raises(noise: bytes) -> None:
    columns, faults = read(THEIRS, OURS, [noise, written(THEIRS, {
        "user": {"tags": {}, "id": "u", "address": None, "billing": None}, "total": 1.0, "meta": {"at": 7, "note": ""}})])  # fmt: skip
    assert (columns["event_time"][1], columns["user"][1], faults[1]) == (7, "u", None)


ROW: dict[str, Any] = {
    "type": "record",
    "name": "customer",
    "fields": [
        {"name": "event_time", "type": TIME, "path": "source.ts_ms"},
        {"name": "id", "type": "long"},
        {"name": "email", "type": ["null", "string"], "default": None},
        {"name": "op", "type": "string", "path": "op"},
    ],
}
VALUE = {
    "type": "record",
    "name": "Value",
    "fields": [{"name": "id", "type": "int"}, {"name": "email", "type": ["null", "string"], "default": None}],
}
CHANGE: dict[str, Any] = {
    "type": "record",
    "name": "Envelope",
    "namespace": "db.customers",
    "fields": [
        {"name": "before", "type": ["null", VALUE], "default": None},
        {"name": "after", "type": ["null", "Value"], "default": None},
        {"name": "source", "type": {"type": "record", "name": "Source", "fields": [
            {"name": "connector", "type": "string"}, {"name": "ts_ms", "type": "long"}]}},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"], "default": None},
    ],
}  # fmt: skip


def change(op: str, after: dict[str, Any] | None) -> dict[str, Any]:
    return {"before": {"id": 1, "email": None}, "after": after, "source": {"connector": "postgresql", "ts_ms": 5}, "op": op, "ts_ms": 6}


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_change_event_is_the_row_after_it_and_a_delete_is_none(decoders: tuple[Decoder, Decoder], wrapped: bool) -> None:
    changes = [
        change("c", {"id": 1, "email": "a@b"}),
        change("u", {"id": 2, "email": None}),
        change("d", None),
        change("r", {"id": 3, "email": ""}),
    ]
    texts = [json.dumps({"schema": {"type": "struct"}, "payload": each} if wrapped else each).encode() for each in changes]
    avro = decoders[1].decode([*(confluent(2, CHANGE, each) for each in changes), None])
    text = decoders[1].decode([*texts, None])
    assert same(avro, text)
    assert text.kind.tolist() == [OK, OK, BAD, OK, BAD]
    assert text.columns == {
        "event_time": [5, 5, None, 5, None],
        "id": [1, 2, None, 3, None],
        "email": ["a@b", None, None, "", None],
        "op": ["c", "u", None, "r", None],
    }
    assert [text.reasons[2], text.reasons[4]] == ['no-record: "after" is null, as of a delete', "tombstone: the message has no value"]


def test_connects_envelope_is_taken_off() -> None:
    ours = {"type": "record", "name": "r", "fields": [{"name": "event_time", "type": TIME}, {"name": "x", "type": "float"}]}
    decoder = decoder_of(ours, envelope=Envelope.CONNECT)
    record = {"event_time": 1, "x": 0.1}
    bodies: list[Any] = [
        {"schema": {"type": "struct", "fields": []}, "payload": record},
        {"schema": None, "payload": record},
        {"schema": {}, "payload": None},
        {"schema": {}, "payload": [1]},
        record,
    ]
    decoded = decoder.decode([*(json.dumps(body).encode() for body in bodies), Encoder(decoder.schema).encode(record)])
    assert decoded.kind.tolist() == [OK, OK, BAD, BAD, BAD, OK]
    assert decoded.columns["x"] == [0.10000000149011612] * 2 + [None] * 3 + [0.10000000149011612]
    assert decoded.reasons[2:5] == [
        'no-record: "payload" is null, as of a delete',
        'wrong-type: "payload": expected an object',
        'no-envelope: expected "schema" and "payload" alone, as JSON of Kafka Connect with schemas has',
    ]
