"""A small schema with two versions that has a field of every kind, and a decoder of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.schema import SchemaSet
from schemas.wire import Decoder

TIME = {"type": "long", "logicalType": "timestamp-millis"}
NOW_MS = 1_790_000_000_000
READING_1: dict[str, Any] = {
    "type": "record",
    "name": "reading",
    "namespace": "test",
    "fields": [
        {"name": "sensor", "type": "string"},
        {"name": "event_time", "type": TIME},
        {"name": "count", "type": "int"},
        {"name": "old_value", "type": "float"},
        {"name": "dropped", "type": ["null", {"type": "array", "items": {"type": "map", "values": "bytes"}}]},
    ],
}
READING_2: dict[str, Any] = {
    "type": "record",
    "name": "reading",
    "namespace": "test",
    "fields": [
        {"name": "event_time", "type": TIME},
        {"name": "sensor", "type": "string"},
        {"name": "count", "type": "long"},
        {"name": "value", "type": "double", "aliases": ["old_value"]},
        {"name": "raw", "type": "double", "default": 0.5, "non_finite": True},
        {"name": "active", "type": "boolean", "default": True},
        {"name": "colour", "type": {"type": "enum", "name": "colour", "symbols": ["red", "green"], "default": "red"}, "default": "green"},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "seen", "type": ["null", TIME], "default": None},
    ],
}


def write(folder: Path, name: str, document: object) -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> SchemaSet:
    folder = tmp_path_factory.mktemp("schemas")
    flat = {**READING_1, "fields": READING_1["fields"][:4]}
    write(folder, "reading.avsc", flat)
    write(folder, "reading.v2.avsc", READING_2)
    return SchemaSet.load(folder)


@pytest.fixture(scope="session")
def make_decoder(schemas: SchemaSet) -> Callable[..., Decoder]:
    def make(**changes: Any) -> Decoder:
        options: dict[str, Any] = {"event_time": "event_time", "required": ("sensor",), "max_ahead_ms": 60_000, "now_ms": lambda: NOW_MS}
        return Decoder(schemas, "reading", **(options | changes))

    return make


@pytest.fixture
def decoder(make_decoder: Callable[..., Decoder]) -> Decoder:
    return make_decoder()


@pytest.fixture
def reading() -> dict[str, Any]:
    return {
        "event_time": 1_380_600_000_123,
        "sensor": "größe-7",
        "count": -3,
        "value": 2.5,
        "raw": float("-inf"),
        "active": False,
        "colour": "green",
        "note": None,
        "seen": -1,
    }
