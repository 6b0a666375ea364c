"""Confluent's framing against a real HTTP registry, and against ports where none is."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schemas.errors import ServiceError, SettingError
from schemas.record import SchemaSet
from schemas.registry import Registry, UnknownSchema
from schemas.wire import BAD, MARKER, OK, Decoder, encode, marker
from tests.schemas.conftest import READING_1, READING_2
from tests.schemas.registry_server import RegistryServer, framed, registry_server


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
        ({"schema": "{}", "schemaType": "PROTOBUF"}, "it is PROTOBUF, only Avro can be read"),
        ({"schema": "{"}, "it is not an Avro schema"),
        ({"schema": '{"type": "nothing"}'}, "it is not an Avro schema"),
        ({"schema": '"string"'}, "it is not an Avro record"),
        ({"schema": "{}", "references": [{"name": "x"}]}, "it refers to other subjects"),
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


@pytest.mark.parametrize("url", ["registry:8081", "ftp://host", "http://", "file:///etc/passwd"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(SettingError, match="is not an address"):
        Registry(url)


def plain(schemas: SchemaSet, name: str) -> dict[str, Any]:
    return {key: value for key, value in schemas.current(name).avro.items() if not key.startswith("__")}
