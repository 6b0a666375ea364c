"""Events → the tiles of a view, as the stream emits them and history makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.columns.column import TILE_START
from features.columns.tile_table import Tiles
from features.kernel.condense import condense
from features.partials.latest import LatestPartial
from features.partials.map_text import MOST_CHARACTERS, TOO_LARGE
from features.plan import ViewPlan
from features.testing.counting import times_ms
from features.testing.prepare import prepared
from schemas.types import DataType


def tiles_of(view: ViewPlan, events: pa.Table) -> pa.Table:
    """The tiles of a view.

    Args:
        view: Its plan.
        events: Those that count: the columns of the view's source. One without a key, or for which the view's condition is not TRUE, has no tile.

    Returns:
        A row for each key and tile with events: the key columns, `tile_start` and the tile columns.
    """
    events = _belonging(view, events)
    times = times_ms(events, view.source)
    starts = times // view.tile_ms * view.tile_ms
    keys = [events.column(key.name).to_pylist() for key in view.keys]
    places: dict[tuple[Any, ...], int] = {}
    owner = np.array([places.setdefault(place, len(places)) for place in zip(*keys, starts.tolist(), strict=True)], dtype=np.int64)
    schema = pa.schema(
        [pa.field(column.name, column.type.arrow) for column in view.keys]
        + [pa.field(TILE_START, DataType.TIMESTAMP.arrow)]
        + [pa.field(column.name, column.type.arrow) for column in view.tile_columns]
    )
    if not places:
        return schema.empty_table()
    own: dict[str, Any] = {}
    for partial in view.partials:
        own |= prepared(partial, events, times)
    singles = Tiles.of(view.tile_columns, owner=owner, start_ms=starts, table=pa.table(own))
    merged = condense(view, singles, owners=len(places))
    columns = [pa.array(part, type=field.type) for part, field in zip(zip(*places, strict=True), schema, strict=False)]
    columns += [merged[column.name].arrow(column.type) for column in view.tile_columns]
    tiles = pa.table(columns, schema=schema)
    for partial in view.partials:
        if isinstance(partial, LatestPartial):
            tiles = _bounded(tiles, partial.name)
    return tiles


def _belonging(view: ViewPlan, events: pa.Table) -> pa.Table:
    for key in view.keys:
        events = events.filter(events.column(key.name).is_valid())
    return events if view.where is None else events.filter(view.where.evaluate(events))


def _bounded(tiles: pa.Table, name: str) -> pa.Table:
    """The last values of a tile may be long texts; the merge of the others' entries counts by itself."""
    texts: Any = tiles.column(name)
    large = pc.greater_equal(pc.utf8_length(texts), pa.scalar(MOST_CHARACTERS, pa.int32()))
    return tiles.set_column(tiles.column_names.index(name), name, pc.if_else(large, pa.scalar(TOO_LARGE), texts))
