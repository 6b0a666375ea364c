"""Our store, filled with the history."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.online.inputs import END_MS, TIME
from features.plan import Plan
from inference.online.store import OnlineStore
from inference.online.writer import TileWriter


def fill(plan: Plan, store: OnlineStore, folder: Path) -> None:
    """Store the history's tiles in every view, and close them up to its end."""
    end = pa.scalar(END_MS, pa.int64()).cast(TIME)
    for name, view in plan.views.items():
        tiles = pq.read_table(folder / "tiles" / f"{name}.parquet")
        writer = TileWriter(view, store)
        writer.write(tiles.filter(pc.less(tiles["tile_start"], end)))
        writer.close(END_MS, 0)
