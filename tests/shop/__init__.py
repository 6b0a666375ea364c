"""A small shop, for the tests of score and materialize: its definitions, and its records written by hand with fastavro."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from features.catalog import load
from features.compiler.plan import Plan, ViewPlan
from features.compiler.tile_schema import tile_avro_schema
from schemas.record import SchemaSet
from schemas.wire import encode

DEFINITIONS = Path(__file__).parent / "definitions"
SCHEMAS = Path(__file__).parent / "schemas"
MINUTE = 60_000
NOON = 1_380_628_800_000  # 2013-10-01T12:00Z


def plan() -> Plan:
    """The shop, compiled."""
    return load(DEFINITIONS, SCHEMAS)


def schemas() -> SchemaSet:
    """Its schemas, with the built-in ones."""
    return SchemaSet.load(SCHEMAS)


def tile(view: ViewPlan, start_ms: int, **values: Any) -> bytes:
    """A message of the view's tiles topic; columns that are not given are null."""
    absent: dict[str, Any] = {column.name: None for column in view.tile_columns}
    return plain(tile_avro_schema(view), absent | {"tile_start": start_ms, "revision": 0} | values)


def user_tile(view: ViewPlan, start_ms: int, user: str, *amounts: float) -> bytes:
    """A tile of `user_clicks`: one click for each amount, a second apart."""
    columns = {"count": len(amounts), "sum_amount": sum(amounts), "last_amount": amounts[-1]}
    return tile(view, start_ms, user=user, last_amount__at=start_ms + 1000 * len(amounts), **columns)


def shelf_tile(view: ViewPlan, start_ms: int, shop: int, shelf: str, *amounts: float) -> bytes:
    """A tile of `shelf_clicks`."""
    return tile(view, start_ms, shop=shop, shelf=shelf, count=len(amounts), max_amount=max(amounts))


def closing(view: str, end_ms: int, tiles: int) -> bytes:
    """A message of the frontier topic."""
    return plain(dict(schemas().current("closing").avro), {"view": view, "tile_end": end_ms, "tiles": tiles})


def offer(request_id: str, at_ms: int, **fields: Any) -> bytes:
    """A request."""
    record = {"request_id": request_id, "event_time": at_ms, "user": "ann", "shop": 7, "shelf": "top", "price": 2.5, "colour": "red"}
    return encode(schemas().current("offer"), record | fields)


def prediction(body: bytes) -> dict[str, Any]:
    """A prediction, read with fastavro."""
    schema = schemas().current("prediction")
    assert body[:10] == b"\xc3\x01" + schema.fingerprint
    stream = io.BytesIO(body[10:])
    record = schemaless_reader(stream, dict(schema.avro), None)
    assert stream.read() == b""
    assert isinstance(record, dict)
    return record


def plain(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    """Avro without any header, as Flink's own format writes it."""
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(schema), record)
    return out.getvalue()
