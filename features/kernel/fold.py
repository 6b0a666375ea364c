"""The kernel: folds tiles into window values. One piece of code for the online reader, Feast's on-demand view and Spark.

The result for a row depends only on that row's own tiles, in time order, whatever else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from features.kernel.map_partials import finish_maps
from features.kernel.merging import Moments, merged, moments, present
from features.kernel.values import Int64s, Values
from features.plan import Finish, PartialKind, ViewPlan, WindowFeature
from features.tiles.table import TileIndex, Tiles, batches


def fold(view: ViewPlan, tiles: Tiles, *, owner: Int64s, boundary_ms: Int64s) -> dict[str, pa.Array[Any]]:
    """The value of every feature for every row.

    Args:
        view: Whose tiles these are.
        tiles: n tiles. Several with one owner and start are merged.
        owner: int64[m], the entity of each row; −1 for none.
        boundary_ms: int64[m], aligned: a window W covers tiles that start in `[boundary − W, boundary)`, `Lifetime` all that start before.

    Returns:
        Feature name → array of m, in the view's order.
    """
    return fold_counting(view, tiles, owner=owner, boundary_ms=boundary_ms)[0]


def fold_counting(view: ViewPlan, tiles: Tiles, *, owner: Int64s, boundary_ms: Int64s) -> tuple[dict[str, pa.Array[Any]], Int64s]:
    """As `fold`, and how many tiles the view's widest window has for every row, a base as one (int64[m]): 0 where it is empty."""
    index = TileIndex.of(view, tiles)
    widest = index.ranges(owner, boundary_ms, view.widest_window_ms)
    parts = batches(widest[1] - widest[0])
    if len(parts) == 1:
        return _fold(view, tiles, index, owner, boundary_ms, widest), widest[1] - widest[0]
    pieces = [_fold(view, tiles, index, owner[rows], boundary_ms[rows], (widest[0][rows], widest[1][rows])) for rows in parts]
    columns = {feature.name: pa.concat_arrays([piece[feature.name] for piece in pieces]) for feature in view.features}
    return columns, widest[1] - widest[0]


def _fold(
    view: ViewPlan, tiles: Tiles, index: TileIndex, owner: Int64s, boundary_ms: Int64s, widest: tuple[Int64s, Int64s]
) -> dict[str, pa.Array[Any]]:
    windows = {view.widest_window_ms: index.window(*widest)}
    for feature in view.features:
        if feature.window_ms not in windows:
            windows[feature.window_ms] = index.window(*index.ranges(owner, boundary_ms, feature.window_ms))
    known: dict[tuple[str, int | None], Values | Moments] = {}
    result: dict[str, pa.Array[Any]] = {}
    with np.errstate(all="ignore"):
        for feature in view.features:
            if feature.name in result:
                continue
            window = windows[feature.window_ms]
            if alike := view.map_features.get(feature.name):
                (partial,) = feature.partials
                column, entries = tiles.columns[partial.name], tiles.entries(partial.name)
                result |= finish_maps(partial, alike, column, entries, rows=window.size, row=window.row, tile=window.tile)
                continue
            for partial in feature.partials:
                key = (partial.name, feature.window_ms)
                if key not in known:
                    if partial.kind is PartialKind.MOMENTS:
                        known[key] = moments(partial, tiles, window, centred=feature.window_ms is None)
                    else:
                        known[key] = merged(partial, tiles, index, window)
            result[feature.name] = _finish(feature, [known[p.name, feature.window_ms] for p in feature.partials])
    return {feature.name: result[feature.name] for feature in view.features}


def _finish(feature: WindowFeature, parts: Sequence[Values | Moments]) -> pa.Array[Any]:
    if feature.finish is Finish.VALUE:
        (values,) = parts
        assert isinstance(values, Values)
        return values.arrow(feature.type)
    if feature.finish in (Finish.MEAN, Finish.SHARE):
        part, count = parts
        assert isinstance(part, Values)
        assert isinstance(count, Values)
        return present(part.numbers / np.maximum(count.numbers, 1), count.numbers > 0, None).arrow(feature.type)
    (whole,) = parts
    assert isinstance(whole, Moments)
    variance = whole.squares / np.maximum(whole.count - 1, 1)
    numbers = np.sqrt(variance) if feature.finish is Finish.STDDEV else variance
    return present(numbers, whole.count > 1, None).arrow(feature.type)
