"""The kernel: folds tiles into window values. One piece of code for the online reader, Feast's on-demand view and Spark.

The result for a row depends only on that row's own tiles, in time order, whatever else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.tile_table import Range, TileIndex, Tiles, batches, count
from features.columns.values import Int64s
from features.kernel.larger import with_larger_levels
from features.plan import ViewPlan


def fold(view: ViewPlan, tiles: Tiles, *, owner: Int64s, boundary_ms: Int64s) -> dict[str, pa.Array[Any]]:
    """The value of every feature for every row.

    Args:
        view: Whose tiles these are.
        tiles: n tiles. Several with one owner, level and start are merged. Which of the larger levels are there changes no value in any bit:
            what is missing is made (`features.kernel.larger`).
        owner: int64[m], the entity of each row; −1 for none.
        boundary_ms: int64[m], aligned: a window covers tiles that start from where it begins (`features.window`) up to the boundary.

    Returns:
        Feature name → array of m, in the view's order.
    """
    return fold_counting(view, tiles, owner=owner, boundary_ms=boundary_ms)[0]


def fold_counting(view: ViewPlan, tiles: Tiles, *, owner: Int64s, boundary_ms: Int64s) -> tuple[dict[str, pa.Array[Any]], Int64s]:
    """As `fold`, and how many of the tiles the view's widest window has for every row, a base as one (int64[m]): 0 where it is empty."""
    index = TileIndex.of(view.levels_ms, tiles)
    widest = index.ranges(owner, boundary_ms, view.windows[0])
    counts = count(widest)
    given, tiles = tiles, with_larger_levels(view, tiles)
    if tiles is not given:
        index = TileIndex.of(view.levels_ms, tiles)
        widest = index.ranges(owner, boundary_ms, view.windows[0])
    parts = batches(count(widest))
    if len(parts) == 1:
        return _fold(view, tiles, index, owner, boundary_ms, widest), counts
    pieces = [
        _fold(view, tiles, index, owner[rows], boundary_ms[rows], [(low[rows], high[rows]) for low, high in widest]) for rows in parts
    ]
    columns = {feature.name: pa.concat_arrays([piece[feature.name] for piece in pieces]) for feature in view.features}
    return columns, counts


def _fold(
    view: ViewPlan, tiles: Tiles, index: TileIndex, owner: Int64s, boundary_ms: Int64s, widest: Sequence[Range]
) -> dict[str, pa.Array[Any]]:
    windows = [index.window(widest), *(index.window(index.ranges(owner, boundary_ms, window)) for window in view.windows[1:])]
    bounded = [view.bounds(window) for window in view.windows]
    result: dict[str, pa.Array[Any]] = {}
    with np.errstate(all="ignore"):
        merged = [partial.merge(tiles, index, windows[window], condensed=bounded[window]) for partial, window in view.merging.merges]
        for group in view.merging.groups:
            result |= group.partials[0].finish(group.features, [merged[place] for place in group.places])
    return {feature.name: result[feature.name] for feature in view.features}
