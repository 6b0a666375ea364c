"""What comes after the history: tiles and closings as the materializer is sent them, and the features at each tile's end, as Feast is given them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fastavro import parse_schema, schemaless_writer

from benchmarks.online import inputs
from benchmarks.online.inputs import END_MS, HERE, TIME
from features.columns.tile_table import Tiles
from features.compiler.tile_schema import tile_avro_schema
from features.kernel.fold import fold
from features.plan import FRONTIER_TOPIC, Plan, ViewPlan
from schemas.schema import SchemaSet


def ensure(folder: Path, hours: int) -> None:
    """Write what `ensure_records` writes, and `values/<view>.parquet`."""
    ensure_records(folder, hours)
    if (folder / "values").exists():
        return
    (folder / "making").mkdir(exist_ok=True)
    for name, view in inputs.plan().views.items():
        pq.write_table(_values(view, _tiles(folder, name)), folder / "making" / f"{name}.parquet")
    (folder / "making").rename(folder / "values")


def ensure_records(folder: Path, hours: int) -> None:
    """Write what `inputs.ensure` writes, of the history and so many hours after it; and `stream.parquet`: topic, key and body of each record."""
    inputs.ensure(folder, hours=27 + hours)
    if (folder / "stream.parquet").exists():
        return
    pq.write_table(_stream(inputs.plan(), folder), folder / "making.parquet")
    (folder / "making.parquet").rename(folder / "stream.parquet")


def after(tiles: pa.Table) -> pa.Table:
    """Those that start after the history."""
    return tiles.filter(pc.greater_equal(tiles["tile_start"], pa.scalar(END_MS, pa.int64()).cast(TIME)))


def _tiles(folder: Path, view: str) -> pa.Table:
    return pq.read_table(folder / "tiles" / f"{view}.parquet")


def _stream(plan: Plan, folder: Path) -> pa.Table:
    """Step by step of five minutes: each view's tiles, and their closing."""
    closing = parse_schema(dict(SchemaSet.load(HERE / "schemas").current("closing").avro))
    records: list[tuple[int, str, str, bytes]] = []
    for name, view in plan.views.items():
        schema = parse_schema(tile_avro_schema(view))
        tiles = after(_tiles(folder, name))
        ends = tiles["tile_start"].cast(pa.int64()).to_numpy() + view.tile_ms
        rows = tiles.to_pylist()
        records += [
            (end, view.tiles_topic, row[view.keys[0].name], _avro(schema, row)) for end, row in zip(ends.tolist(), rows, strict=True)
        ]
        for end, count in zip(*(each.tolist() for each in np.unique(ends, return_counts=True)), strict=True):
            records.append((end, FRONTIER_TOPIC, name, _avro(closing, {"view": name, "tile_end": end, "tiles": count})))
    records.sort(key=lambda record: record[0])
    _, topics, keys, bodies = zip(*records, strict=True)
    return pa.table({"topic": topics, "key": keys, "body": pa.array(bodies, pa.binary())})


def _avro(schema: Any, record: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    schemaless_writer(buffer, schema, record)
    return buffer.getvalue()


def _values(view: ViewPlan, tiles: pa.Table) -> pa.Table:
    """The features of every tile's key at its end."""
    key = view.keys[0].name
    names = tiles[key].combine_chunks().dictionary_encode()
    owner = names.indices.to_numpy().astype(np.int64)
    start = tiles["tile_start"].cast(pa.int64()).to_numpy()
    new = start >= END_MS
    end = start[new] + view.tile_ms
    features = fold(view, Tiles.of(view.tile_columns, owner=owner, start_ms=start, table=tiles), owner=owner[new], boundary_ms=end)
    return pa.table({key: tiles[key].filter(pa.array(new)), **features, "event_timestamp": pa.array(end).cast(TIME)})
