"""All levels of tiles: what the store merges bit by bit, made at once of what is at hand.

Many windows over the same tiles take fewer so. And doubles are added in the same groups wherever, each closed interval of a level by itself, whatever the
store had merged when it was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.tile_table import Tiles
from features.columns.values import Int64s
from features.kernel.condense import condense
from features.plan import ViewPlan


def with_larger_levels(view: ViewPlan, tiles: Tiles) -> Tiles:
    """Tiles, and what they are merged into on each larger level of the view where that is not among them.

    Args:
        view: Whose.
        tiles: Of each owner those of the smallest level from where its larger ones end (`merged_ms`) up to the last that is asked for; no bases. Where
            they say no level there are no larger ones, and where they say no `merged_ms` there are all.

    Returns:
        Tiles of all levels; the same ones where the view has one, or where it would change no value of tiles that have larger ones.
    """
    whole = tiles.level is not None and tiles.merged_ms is None
    if len(view.levels_ms) == 1 or whole or not len(tiles.start_ms):
        return tiles
    if tiles.level is not None and not any(partial.rounded for partial in view.partials):
        return tiles
    levels = [_unlevelled(tiles if tiles.level is None else tiles.chosen(tiles.level == 0))]
    for number, size_ms in enumerate(view.levels_ms[1:], 1):
        below = levels[-1]
        if tiles.level is None or tiles.merged_ms is None:
            levels.append(_merged(view, below, size_ms))
            continue
        there = tiles.chosen((tiles.level == number) & (tiles.start_ms + size_ms <= tiles.merged_ms[tiles.owner]))
        missing = below.chosen(below.start_ms // size_ms * size_ms + size_ms > tiles.merged_ms[below.owner])
        levels.append(_together(view, [_unlevelled(there), _merged(view, missing, size_ms)]))
    numbers = np.arange(len(levels), dtype=np.int64)
    return replace(_together(view, levels), level=np.repeat(numbers, [len(level.start_ms) for level in levels]))


def _unlevelled(tiles: Tiles) -> Tiles:
    return replace(tiles, level=None, merged_ms=None)


def _merged(view: ViewPlan, tiles: Tiles, size_ms: int) -> Tiles:
    """Tiles of one level merged into those of the next."""
    if not len(tiles.start_ms):
        return tiles
    interval = tiles.start_ms // size_ms * size_ms
    order = np.lexsort((interval, tiles.owner))
    owner, start_ms = tiles.owner[order], interval[order]
    begins = np.concatenate([[True], (np.diff(owner) != 0) | (np.diff(start_ms) != 0)])
    group: Int64s = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(begins) - 1
    columns = condense(view, Tiles(owner=group, start_ms=tiles.start_ms, columns=tiles.columns), owners=int(begins.sum()))
    return Tiles(owner=owner[begins], start_ms=start_ms[begins], columns=columns)


def _together(view: ViewPlan, parts: Sequence[Tiles]) -> Tiles:
    """Tiles one part after the other."""
    some = [part for part in parts if len(part.start_ms)]
    if len(some) == 1:
        return some[0]
    columns: dict[str, pa.ChunkedArray[Any]] = {}
    for column in view.tile_columns:
        arrays = [part.columns[column.name].arrow(column.type) for part in parts]
        columns[column.name] = pa.chunked_array([array.cast(column.type.arrow) for array in arrays])
    return Tiles.of(
        view.tile_columns,
        owner=np.concatenate([part.owner for part in parts]),
        start_ms=np.concatenate([part.start_ms for part in parts]),
        table=pa.table(columns),
    )
