"""Writes the bytes of the new tiles with redis-py and nothing else: `python limit.py ADDRESS INPUTS OUT`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.online.inputs import plan
from benchmarks.online.store import fill
from benchmarks.works.online_write.stream import after
from features.columns.values import Values
from features.plan import ViewPlan
from features.tiles.codec import TileCodec
from inference.online.redis.connection import connect
from inference.online.redis.layout import EntityKeys
from inference.online.redis.store import RedisStore
from schemas.types import DataType

BATCH = 2_000
"""Commands sent in one round trip, as by our writer."""


def main(address: str, inputs: Path, out: Path) -> None:
    """Fill the store with the history, write the records of the tiles after it as fields of their own, and look whether they are there."""
    client, compiled = connect(address), plan()
    fill(compiled, RedisStore(client), inputs)
    tiles = [tile for view in compiled.views.values() for tile in _records(view, inputs)]
    batches = [tiles[first : first + BATCH] for first in range(0, len(tiles), BATCH)]
    started = time.perf_counter()
    for batch in batches:
        pipeline = client.pipeline(transaction=False)
        for key, field, record in batch:
            pipeline.hset(key, field, record)
        pipeline.execute()
    seconds = time.perf_counter() - started
    (out / "figures.json").write_text(json.dumps({"seconds": seconds, "tiles_per_s": len(tiles) / seconds}))
    right = 0
    for batch in batches:
        pipeline = client.pipeline(transaction=False)
        for key, field, _ in batch:
            pipeline.hget(key, field)
        right += sum(found == record for found, (*_, record) in zip(pipeline.execute(), batch, strict=True))
    (out / "tiles.json").write_text(json.dumps(right))


def _records(view: ViewPlan, inputs: Path) -> list[tuple[Any, Any, Any]]:
    """Key, field and record of every tile; redis-py takes bytes, which its annotations deny."""
    tiles = after(pq.read_table(inputs / "tiles" / f"{view.name}.parquet"))
    start = Values.of(tiles["tile_start"], DataType.TIMESTAMP).numbers
    revision = Values.of(tiles["revision"], DataType.INT64).numbers
    columns = {column.name: Values.of(tiles[column.name], column.type) for column in view.tile_columns}
    keys = EntityKeys(view.keys, "tidemark").of_all([(value,) for value in tiles[view.keys[0].name].to_pylist()])
    records = TileCodec(view=view).pack(start_ms=start, revision=revision, columns=columns)
    fields = [f"{view.name}:{number}".encode() for number in start.tolist()]
    return list(zip(keys, fields, records, strict=True))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
