"""Our store, filled with the history."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from features.compiler.plan import Plan
from inference.online.connection import Client
from inference.online.store import TileWriter
from tests.benchmarks.online.inputs import END_MS


def fill(plan: Plan, client: Client, folder: Path) -> None:
    """Store `tiles/<view>.parquet` of every view, and close them up to the end of the history."""
    for name, view in plan.views.items():
        writer = TileWriter(view, client)
        writer.write(pq.read_table(folder / "tiles" / f"{name}.parquet"))
        writer.close(END_MS, 0)
