"""Confluent's framing against a real HTTP registry, and against ports where none is."""

from __future__ import annotations

import base64
import json
import pickle
import socket
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ServiceError, SettingError
from schemas.registry import Registry, UnknownSchema
from schemas.schema import SchemaSet, parse
from schemas.wire import BAD, MARKER, OK, Decoder, encode, marker
from tests.schemas.conftest import READING_1, READING_2, TIME
from tests.schemas.registry_server import RegistryServer, framed, registry_server
from tests.schemas.test_avro_laws import written


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with registry_server() as server:
        yield server


def avro(document: object) -> tuple[int, object]:
    return 200, {"schema": json.dumps(document)}


def test_ids_are_resolved_and_fetched_once(
    server: RegistryServer, schemas: SchemaSet, make_decoder: Callable[..., Decoder], reading: dict[str, Any]
) -> None:
    server.answers = {7: avro(READING_2), 300: avro({**READING_1, "fields": READING_1["fields"][:4]}), 9: avro(plain(schemas, "watermark"))}
    decoder = make_decoder(registry=Registry(server.url))
    older, current = schemas.versions("reading")
    old = encode(older, {"sensor": "old", "event_time": 5, "count": 7, "old_value": 0.25})
    for _ in range(3):
        decoded = decoder.decode([framed(7, encode(current, reading)), framed(300, old), framed(9, marker(3)), encode(current, reading)])
        assert decoded.kind.tolist() == [OK, OK, MARKER, OK]
        assert decoded.columns["sensor"] == [reading["sensor"], "old", None, reading["sensor"]]
    assert sorted(path for path, _ in server.asked) == ["/schemas/ids/300", "/schemas/ids/7", "/schemas/ids/9"]


def test_unknown_id_is_refused_and_asked_again_later(
    server: RegistryServer, make_decoder: Callable[..., Decoder], schemas: SchemaSet, reading: dict[str, Any]
) -> None:
    body = framed(42, encode(schemas.current("reading"), reading))
    patient = make_decoder(registry=Registry(server.url))
    for _ in range(3):
        assert patient.decode([body]).reasons == ["unknown-schema: id 42: the registry does not have it"]
    assert len(server.asked) == 1
    hasty = make_decoder(registry=Registry(server.url, retry_unknown_s=0))
    assert hasty.decode([body]).kind.tolist() == [BAD]
    server.answers[42] = avro(READING_2)
    assert hasty.decode([body]).kind.tolist() == [OK]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"schema": "{}", "schemaType": "PROTOBUF"}, "it is Protobuf; only Avro and JSON Schema can be read"),
        ({"schema": "{"}, "it is not an Avro schema"),
        ({"schema": '{"type": "nothing"}'}, "it is not an Avro schema"),
        ({"schema": '"string"'}, "it is not an Avro record"),
        ({"schema": "{}", "references": [{"name": "x"}]}, "a reference without subject or version"),
        (
            {"schema": "{}", "references": [{"name": "x", "subject": "x", "version": 2}]},
            '"x" version 2, which it refers to: the registry does not have it',
        ),
        ({"nothing": 1}, "answer has no schema"),
        ([1], "answer has no schema"),
    ],
)
def test_what_is_no_avro_schema_is_an_unknown_one(server: RegistryServer, answer: object, message: str) -> None:
    server.answers[1] = (200, answer)
    with pytest.raises(UnknownSchema, match=message):
        Registry(server.url).schema(1)


def test_a_schema_that_cannot_be_read_as_the_current_one(server: RegistryServer, make_decoder: Callable[..., Decoder]) -> None:
    server.answers[1] = avro({"type": "record", "name": "other", "fields": [{"name": "sensor", "type": "int"}]})
    decoded = make_decoder(registry=Registry(server.url)).decode([b"\0\0\0\0\x01\x02"])
    assert decoded.reasons == ['incompatible-schema: id 1 cannot be read as "reading": field "sensor": expected string, got int']


def test_a_closed_port_is_a_service_error(make_decoder: Callable[..., Decoder]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    decoder = make_decoder(registry=Registry(f"http://127.0.0.1:{port}"))
    assert decoder.decode([b"{}"]).kind.tolist() == [BAD]  # nobody needs the registry for this
    with pytest.raises(ServiceError, match=rf"registry: http://127.0.0.1:{port} does not answer \(.*refused\); check .*TIDEMARK"):
        decoder.decode([b"\0\0\0\0\x01\x02"])


def test_a_registry_that_hangs_is_given_up(make_decoder: Callable[..., Decoder]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        registry = Registry(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.1, attempts=2)
        with pytest.raises(ServiceError, match="does not answer"):
            registry.schema(1)


@pytest.mark.parametrize(("status", "asked"), [(500, 2), (401, 1)])
def test_refusals_of_the_registry_are_service_errors(server: RegistryServer, status: int, asked: int) -> None:
    server.answers[1] = (status, {})
    with pytest.raises(ServiceError, match=rf"answers {status}"):
        Registry(server.url, attempts=2).schema(1)
    assert len(server.asked) == asked


def test_an_answer_that_is_not_json(server: RegistryServer) -> None:
    server.answers[1] = (200, b"<html>")
    with pytest.raises(ServiceError, match="not JSON"):
        Registry(server.url, attempts=1).schema(1)


def test_user_and_password_go_into_the_header_and_into_no_message(server: RegistryServer) -> None:
    registry = Registry(server.url.replace("//", "//me:s%40crt@"))
    with pytest.raises(UnknownSchema):
        registry.schema(1)
    assert server.asked == [("/schemas/ids/1", "Basic " + base64.b64encode(b"me:s@crt").decode())]
    assert "crt" not in registry.url


def test_an_address_in_a_file_is_read_for_each_question_and_goes_into_no_pickle(server: RegistryServer, tmp_path: Path) -> None:
    file = tmp_path / "registry"
    file.write_text(server.url.replace("//", "//me:hunter2@") + "\n")
    registry = pickle.loads(pickled := pickle.dumps(Registry(f"file:{file}")))
    assert b"hunter2" not in pickled
    file.write_text(server.url.replace("//", "//me:swordfish@"))
    with pytest.raises(UnknownSchema):
        registry.schema(1)
    assert server.asked == [("/schemas/ids/1", "Basic " + base64.b64encode(b"me:swordfish").decode())]
    file.write_text("hunter2")
    with pytest.raises(SettingError, match=rf'^registry: "what {file} holds" is not an address; ') as refused:
        registry.schema(2)
    assert "hunter2" not in str(refused.value)
    file.unlink()
    with pytest.raises(SettingError, match=f"^TIDEMARK_REGISTRY: {file} cannot be read: "):
        registry.schema(2)


@pytest.mark.parametrize("url", ["registry:8081", "ftp://host", "http://", "file:///dev/null/none", "/etc/hostname"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(SettingError, match=r"is not an address|cannot be read"):
        Registry(url)


MONEY = {"type": "record", "name": "Money", "namespace": "com.shop", "fields": [
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}, {"name": "currency", "type": "Currency"}]}  # fmt: skip
CURRENCY = {"type": "enum", "name": "Currency", "namespace": "com.shop", "symbols": ["EUR", "USD"]}
PAYMENT = {"type": "record", "name": "Payment", "namespace": "com.shop", "fields": [
    {"name": "event_time", "type": TIME}, {"name": "price", "type": ["null", "Money"]}, {"name": "in", "type": "Currency"}]}  # fmt: skip
OURS = {"type": "record", "name": "payment", "fields": [
    {"name": "event_time", "type": TIME},
    {"name": "amount", "type": ["null", "double"], "path": "price.amount"},
    {"name": "currency", "type": "string", "path": "in"}]}  # fmt: skip


@pytest.mark.parametrize("main", [PAYMENT, [PAYMENT], "com.shop.Payment", ["null", "com.shop.Payment"]])
def test_a_schema_is_read_with_all_that_it_refers_to(server: RegistryServer, main: Any) -> None:
    """As Confluent's registry answers: each reference by subject and version, and what it refers to by its own."""
    named = isinstance(main, str) or main[-1] == "com.shop.Payment" if isinstance(main, str | list) else False
    own = [
        {"name": "com.shop.Money", "subject": "shop/money", "version": 2},
        {"name": "com.shop.Currency", "subject": "currency", "version": 1},
    ]
    if named:
        server.answers["/subjects/payment/versions/5"] = 200, {"schema": json.dumps(PAYMENT), "references": own}
        own = [{"name": "com.shop.Payment", "subject": "payment", "version": 5}]
    server.answers[3] = 200, {"schema": json.dumps(main), "references": own}
    server.answers["/subjects/shop%2Fmoney/versions/2"] = (
        200,
        {
            "schema": json.dumps(MONEY),
            "references": [{"name": "com.shop.Currency", "subject": "currency", "version": 1}],
        },
    )
    server.answers["/subjects/currency/versions/1"] = 200, {"schema": json.dumps(CURRENCY)}
    schemas = SchemaSet([parse(OURS, name="payment"), SchemaSet.load().current("watermark")])
    decoder = Decoder(schemas, "payment", registry=Registry(server.url), event_time="event_time", max_ahead_ms=0)
    whole = {**PAYMENT, "fields": [PAYMENT["fields"][0], {"name": "price", "type": ["null", MONEY | {"fields": [
        MONEY["fields"][0], {"name": "currency", "type": CURRENCY}]}]}, PAYMENT["fields"][2]]}  # fmt: skip
    union = {list: b"\0" if len(main) == 1 else b"\x02"}.get(type(main), b"")
    bodies = [
        b"\0\0\0\0\x03" + union + written(whole, {"event_time": 5, "price": price, "in": "USD"})
        for price in ({"amount": Decimal("12.30"), "currency": "EUR"}, None)
    ]
    for _ in range(2):
        decoded = decoder.decode(bodies)
        assert decoded.reasons == [None, None]
        assert (decoded.columns["amount"], decoded.columns["currency"]) == ([12.3, None], ["USD", "USD"])
    asked = [path for path, _ in server.asked]
    assert sorted(asked) == sorted(set(asked))  # each once
    if isinstance(main, list):
        assert decoder.decode([b"\0\0\0\0\x03\x04"]).reasons == ["wrong-type: branch 2 of the writer's union is not its record"]


def test_references_that_go_in_a_circle_end(server: RegistryServer) -> None:
    server.answers[1] = 200, {"schema": '"A"', "references": [{"name": "A", "subject": "a", "version": 1}]}
    server.answers["/subjects/a/versions/1"] = 200, {"schema": '"B"', "references": [{"name": "A", "subject": "a", "version": 1}]}
    with pytest.raises(UnknownSchema, match='"a" version 1, which it refers to: it is not an Avro schema'):
        Registry(server.url).schema(1)


def test_a_reference_of_another_kind_is_refused_by_name(server: RegistryServer, make_decoder: Callable[..., Decoder]) -> None:
    server.answers[1] = 200, {"schema": '"A"', "references": [{"name": "A", "subject": "a", "version": 1}]}
    server.answers["/subjects/a/versions/1"] = 200, {"schema": "{}", "schemaType": "PROTOBUF"}
    decoded = make_decoder(registry=Registry(server.url)).decode([b"\0\0\0\0\x01{}"])
    assert decoded.reasons == ['unknown-schema: id 1: "a" version 1, which it refers to: it is Protobuf']


def test_json_behind_the_header_of_a_json_schema_is_read_as_json(
    server: RegistryServer, make_decoder: Callable[..., Decoder], schemas: SchemaSet, reading: dict[str, Any]
) -> None:
    server.answers = {7: avro(READING_2), 8: (200, {"schema": '{"type": "object"}', "schemaType": "JSON"})}
    decoder = make_decoder(registry=Registry(server.url))
    text = json.dumps(reading).encode()
    bodies = [b"\0\0\0\0\x08" + text, framed(7, encode(schemas.current("reading"), reading)), text, b"\0\0\0\0\x08{", b"\0\0\0\0\x08[1]"]
    decoded = decoder.decode(bodies)
    assert decoded.kind.tolist() == [OK, OK, OK, BAD, BAD]
    assert all(values[0] == values[1] == values[2] == reading[name] for name, values in decoded.columns.items())
    assert decoded.reasons[4] == "not-json: expected an object, got array"


def plain(schemas: SchemaSet, name: str) -> dict[str, Any]:
    return {key: value for key, value in schemas.current(name).avro.items() if not key.startswith("__")}
