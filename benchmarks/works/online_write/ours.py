"""Writes the stream with our materializer: `python ours.py ADDRESS INPUTS OUT`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.online.inputs import HERE, TIME, plan
from benchmarks.online.store import fill
from features.plan import ViewPlan
from features.tiles.codec import TileCodec
from inference.materializer import Materializer
from inference.online.connection import connect
from inference.online.redis.layout import EntityKeys
from inference.online.store import OnlineStore
from inference.online.writer import TileWriter
from schemas.schema import SchemaSet

BATCH = 5_000
"""Records: what the job is given at most."""


def main(address: str, inputs: Path, out: Path) -> None:
    """Fill the store with the history, write what comes after it, and read back all that is stored."""
    store = connect(address)
    fill(plan(), store, inputs)
    job, (topics, bodies) = materializer(store), records(inputs)
    written = 0
    started = time.perf_counter()
    for first in range(0, len(bodies), BATCH):
        written += job.write(topics[first : first + BATCH], bodies[first : first + BATCH]).tiles
    seconds = time.perf_counter() - started
    (out / "figures.json").write_text(json.dumps({"seconds": seconds, "tiles_per_s": written / seconds}))
    read_back(store, inputs, out)


def materializer(store: OnlineStore) -> Materializer:
    """Of all views, without a job around it."""
    views = plan().views
    return Materializer(
        views=tuple(views.values()),
        writers={name: TileWriter(view, store) for name, view in views.items()},
        frontiers=store.frontiers(),
        schemas=SchemaSet.load(HERE / "schemas"),
    )


def records(inputs: Path) -> tuple[list[str], list[bytes]]:
    """Topics and bodies of what it is given."""
    stream = pq.read_table(inputs / "stream.parquet")
    topics: list[Any] = stream["topic"].to_pylist()
    bodies: list[Any] = stream["body"].to_pylist()
    return topics, bodies


def read_back(store: OnlineStore, inputs: Path, out: Path) -> None:
    """Write all that is stored, for the check."""
    views = plan().views
    (out / "frontiers.json").write_text(json.dumps(store.frontiers().read(list(views))))
    for name, view in views.items():
        pq.write_table(_stored(view, store, inputs), out / f"{name}.parquet")


def _stored(view: ViewPlan, store: OnlineStore, inputs: Path) -> pa.Table:
    key = view.keys[0].name
    names = np.unique(pq.read_table(inputs / "tiles" / f"{view.name}.parquet", columns=[key])[key].to_numpy())
    entities = EntityKeys(view.keys, project="").of_all([(name,) for name in names.tolist()])
    ((found,),) = store.all_tiles(["tidemark"], entities, [view])
    codec = TileCodec(view=view)
    tiles = codec.unpack(found.whole(codec)).tiles
    columns = {column.name: tiles.columns[column.name].arrow(column.type) for column in view.tile_columns}
    return pa.table({key: names[tiles.owner], "tile_start": pa.array(tiles.start_ms).cast(TIME), **columns})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
