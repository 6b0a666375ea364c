"""Tiles without an engine: each event prepared as a tile of its own, then merged by the kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.tile_table import Tiles
from features.plan import ViewPlan
from features.testing.prepare import prepared as of_events


def prepared(view: ViewPlan, events: Sequence[Mapping[str, Any]], owners: Mapping[str, int]) -> Tiles:
    """A tile of each event; keys are `key`, times `t` (int64 ms)."""
    rows = [{**event, "t": event["t"]} for event in events]
    schema = pa.schema(
        [(name, pa.int64() if name == view.source.event_time else type_.arrow) for name, type_ in view.source.columns.items()]
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    times = np.array([row["t"] for row in rows], dtype=np.int64)
    columns = {name: column for partial in view.partials for name, column in of_events(partial, table, times).items()}
    owner = np.array([owners[row["key"]] for row in rows], dtype=np.int64)
    return Tiles.of(view.tile_columns, owner=owner, start_ms=times // view.tile_ms * view.tile_ms, table=pa.table(columns))
