"""All levels of tiles from the smallest: what the store merges bit by bit, made at once where all tiles are at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.tile_table import Tiles
from features.columns.values import Int64s
from features.kernel.condense import condense
from features.plan import ViewPlan


def with_larger_levels(view: ViewPlan, tiles: Tiles) -> Tiles:
    """Tiles and what they are merged into on each larger level of the view, so that many windows over the same tiles take fewer.

    Args:
        view: Whose.
        tiles: All tiles of the smallest level of some owners; no bases.

    Returns:
        The same tiles where the view has one level.
    """
    if len(view.levels_ms) == 1 or not len(tiles.start_ms):
        return tiles
    level, found = tiles, [tiles]
    for size_ms in view.levels_ms[1:]:
        interval = level.start_ms // size_ms * size_ms
        order = np.lexsort((interval, level.owner))
        owner, start_ms = level.owner[order], interval[order]
        begins = np.concatenate([[True], (np.diff(owner) != 0) | (np.diff(start_ms) != 0)])
        group: Int64s = np.empty(len(order), dtype=np.int64)
        group[order] = np.cumsum(begins) - 1
        columns = condense(view, Tiles(owner=group, start_ms=level.start_ms, columns=level.columns), owners=int(begins.sum()))
        level = Tiles(owner=owner[begins], start_ms=start_ms[begins], columns=columns)
        found.append(level)
    return _together(view, found)


def _together(view: ViewPlan, levels: list[Tiles]) -> Tiles:
    """Tiles of several levels in one."""
    columns: dict[str, pa.ChunkedArray[Any]] = {}
    for column in view.tile_columns:
        parts = [level.columns[column.name].arrow(column.type) for level in levels]
        columns[column.name] = pa.chunked_array([part.cast(column.type.arrow) for part in parts])
    lengths = [len(level.start_ms) for level in levels]
    return Tiles.of(
        view.tile_columns,
        owner=np.concatenate([level.owner for level in levels]),
        start_ms=np.concatenate([level.start_ms for level in levels]),
        table=pa.table(columns),
        level=np.repeat(np.arange(len(levels), dtype=np.int64), lengths),
    )
