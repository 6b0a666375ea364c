"""Bad records for the demo: one of every kind that the gate refuses, made from a good record of the same source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.field import Field
from schemas.schema import Schema
from schemas.types import DataType
from schemas.wire import SINGLE_OBJECT, encode

YEAR_2100_MS = 4_102_444_800_000
TWO_MEGABYTES = 2 << 20


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A message that must end in a dead-letter topic.

    Attributes:
        kind: What is wrong with it, for people.
        body: The message; None is a tombstone.
    """

    kind: str
    body: bytes | None


def bad_records(schema: Schema, good: Mapping[str, Any], *, event_time: str, required: str) -> Iterator[Fault]:
    """Every kind of fault once.

    Args:
        schema: Of the source.
        good: A record as it should be, timestamps in ms.
        event_time: The field of the event's time.
        required: A field that may be neither left out nor null.
    """
    avro = encode(schema, good)
    payload = avro[len(SINGLE_OBJECT) + len(schema.fingerprint) :]
    yield Fault(kind="empty message", body=b"")
    yield Fault(kind="tombstone", body=None)
    yield Fault(kind="neither Avro nor JSON", body=b"\xff\xd8\xff\xe0 a photograph")
    yield Fault(kind="unknown schema id", body=b"\x00" + (424_242).to_bytes(4, "big") + payload)
    yield Fault(kind="unknown fingerprint", body=SINGLE_OBJECT + b"\xde\xad\xbe\xef\xde\xad\xbe\xef" + payload)
    yield Fault(kind="truncated Avro", body=avro[:-3])
    yield Fault(kind="truncated Avro header", body=avro[:6])
    yield Fault(kind="over-long Avro", body=avro + b"\x00\x00\x00")
    yield Fault(kind="broken JSON", body=_json(good)[:-7])
    yield Fault(kind="JSON array", body=b" [" + _json(good) + b"]")
    yield Fault(kind="wrong type in JSON", body=_json({**good, _double(schema).name: "far"}))
    yield Fault(kind="missing field", body=_json({name: value for name, value in good.items() if name != required}))
    yield Fault(kind="missing key", body=_json({**good, required: None}))
    yield Fault(kind="not a number", body=encode(schema, {**good, _double(schema).name: float("nan")}))
    yield Fault(kind="infinity", body=encode(schema, {**good, _double(schema).name: float("-inf")}))
    yield Fault(kind="year 2100", body=encode(schema, {**good, event_time: YEAR_2100_MS}))
    yield Fault(kind="2 MB message", body=_json({**good, "photograph": "x" * TWO_MEGABYTES}))


def _double(schema: Schema) -> Field:
    return next(field for field in schema.fields if field.type is DataType.FLOAT64)


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode()
