"""A small shop, for the tests of score and materialize: its definitions, and its records written by hand with fastavro."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from features.catalog import load
from features.compiler.tile_schema import tile_avro_schema
from features.plan import Plan, ServicePlan, ViewPlan
from inference.model.encoding import Encoding
from inference.model.writer import TrainedShards, save
from inference.shards.shard_map import ShardMap
from schemas.schema import SchemaSet
from schemas.types import DataType
from schemas.wire import encode

DEFINITIONS = Path(__file__).parent / "definitions"
SCHEMAS = Path(__file__).parent / "schemas"
MINUTE = 60_000
NOON = 1_380_628_800_000  # 2013-10-01T12:00Z


@cache
def plan() -> Plan:
    """The shop, compiled."""
    return load(DEFINITIONS, SCHEMAS)


@cache
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


def train(
    folder: Path,
    service: ServicePlan | None = None,
    *,
    shards: ShardMap | None = None,
    without: Collection[int] = (),
    trees: int = 20,
    stages: int = 1,
    classes: int = 2,
) -> Path:
    """A model of the service on made-up rows, in a folder of its own; of a service under another name too. Its shards differ, some have no model.

    Of two classes it gives one score, of more one for each.
    """
    service = service or plan().services["buy"]
    random = np.random.default_rng(7)
    rows = 400
    makers: dict[DataType, Callable[[], Any]] = {
        DataType.FLOAT64: lambda: pa.array(random.normal(3.0, 2.0, rows), mask=random.random(rows) < 0.2),
        DataType.INT64: lambda: pa.array(random.integers(0, 5, rows)),
        DataType.STRING: lambda: pa.array(random.choice(["red", "blue"], rows)),
    }
    table = pa.table({name: makers[type_]() for name, type_ in service.feature_types.items()})
    encoding = Encoding.of(service.feature_types, table)
    matrix = encoding.matrix(table)
    price, clicks = (np.nan_to_num(matrix[:, list(service.feature_types).index(name)]) for name in ("price", "clicks_5m"))
    label = np.digitize(price + clicks, 2 * np.arange(2, classes + 1), right=True)
    parameters: dict[str, Any] = {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}
    parameters |= {"num_leaves": 8, "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 5}

    def trained(rows: slice) -> Any:
        data = lightgbm.Dataset(matrix[rows], label=label[rows], categorical_feature=encoding.categorical)
        return lightgbm.train(parameters, data, num_boost_round=trees)

    saved = None
    if shards is not None:
        boosters = {shard: trained(slice(2 * shard, None)) for shard in shards.shards if shard not in without}
        saved = TrainedShards(map=shards, boosters=boosters, untrained=dict.fromkeys(without, "said so"))
    record = {"name": "buy", "service": service.name, "service_version": service.fingerprint}
    save(folder, trained(slice(None)), encoding, record=record, shards=saved, stages=stages)
    return folder


def plain(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    """Avro without any header, as Flink's own format writes it."""
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(schema), record)
    return out.getvalue()
