"""Many tiles of an entity as one: what becomes of old tiles where features are of all time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.columns.tile_table import TileIndex, Tiles
from features.columns.values import Values
from features.plan import ViewPlan
from features.window import Lifetime

_ALWAYS = np.iinfo(np.int64).max


def condense(view: ViewPlan, tiles: Tiles, *, owners: int) -> dict[str, Values]:
    """All tiles of each owner merged into one: what a `Lifetime` feature need keep of them.

    Args:
        view: Whose tiles.
        tiles: Of owners 0, 1, … below `owners`, each with one at least; a base may hold tiles from before, between and after the others.
        owners: How many.

    Returns:
        For every physical column of the view's tiles, the values of all owners.
    """
    index = replace(TileIndex.of((view.tile_ms,), tiles), distinct=False)  # so that times decide what is first and last, not places
    window = index.window(index.ranges(np.arange(owners), np.full(owners, _ALWAYS), Lifetime()))
    columns: dict[str, Values] = {}
    with np.errstate(all="ignore"):
        for partial in view.partials:
            columns |= partial.condense(tiles, index, window)
    return columns
