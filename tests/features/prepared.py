"""Tiles without an engine: each event prepared as a tile of its own, then merged by the kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.columns.tile_table import Tiles
from features.columns.values import Int64s
from features.partials.partial import Partial
from features.plan import ViewPlan


def prepared(view: ViewPlan, events: Sequence[Mapping[str, Any]], owners: Mapping[str, int]) -> Tiles:
    """A tile of each event; keys are `key`, times `t` (int64 ms)."""
    rows = [{**event, "t": event["t"]} for event in events]
    schema = pa.schema(
        [(name, pa.int64() if name == view.source.event_time else type_.arrow) for name, type_ in view.source.columns.items()]
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    times = np.array([row["t"] for row in rows], dtype=np.int64)
    columns = {name: column for partial in view.partials for name, column in _columns(partial, table, times).items()}
    owner = np.array([owners[row["key"]] for row in rows], dtype=np.int64)
    return Tiles.of(view.tile_columns, owner=owner, start_ms=times // view.tile_ms * view.tile_ms, table=pa.table(columns))


def _columns(partial: Partial, table: pa.Table, times: Int64s) -> dict[str, Any]:
    counts = np.ones(len(table), dtype=np.bool_)
    values: Any = pa.nulls(len(table), pa.int64())
    if partial.where is not None:
        counts &= _true(partial.where.evaluate(table))
    if partial.input is not None:
        values = partial.input.evaluate(table)
        counts &= values.is_valid().to_numpy(zero_copy_only=False)
    mask: Any = pa.array(counts)
    tie = None if partial.tie is None else partial.tie.evaluate(table).filter(mask)
    found = partial.prepare(values.filter(mask), times[counts], tie)
    place: Any = pa.array(np.cumsum(counts) - 1, mask=~counts)
    return {column.name: found[column.name].take(place).cast(column.type.arrow) for column in partial.columns}


def _true(condition: Any) -> Any:
    return np.asarray(pc.fill_null(condition, False).to_numpy(zero_copy_only=False), dtype=np.bool_)
