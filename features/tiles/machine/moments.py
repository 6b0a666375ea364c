"""As `features.partials.moments`."""

from __future__ import annotations

import numpy as np

from features.columns.values import Doubles, Int64s
from features.tiles.machine.sums import add
from schemas.machine_code import compiled


@compiled()
def moments(low: int, many: int, condensed: bool, counts: Int64s, work: Doubles) -> tuple[int, float, float, float]:
    """Count, pivot, Σ(x − pivot) and Σ(x − pivot)², as `MomentsPartial.merge` has them, of `many` from `low` on.

    Of counts and of `work[0..2]`: pivots, s1, s2; the rest is overwritten.
    """
    pivot, s1, s2, first, second = work[0], work[1], work[2], work[3], work[4]
    total, base, based = 0, 0.0, False
    for tile in range(low, low + many):
        total += counts[tile]
        if counts[tile] <= 0:
            pivot[tile], s1[tile], s2[tile] = 0.0, 0.0, 0.0
        elif not based:
            base, based = pivot[tile], True
    again = condensed
    while True:
        for tile in range(low, low + many):
            shift = pivot[tile] - base if counts[tile] > 0 else 0.0
            first[tile] = s1[tile] + counts[tile] * shift
            second[tile] = s2[tile] + 2 * shift * s1[tile] + counts[tile] * shift * shift
        about = add(first, low, many)
        if not again:
            return total, base, about, add(second, low, many)
        mean = base + about / max(total, 1)
        base = mean if np.isfinite(mean) else base
        again = False


@compiled()
def spread(count: int, s1: float, s2: float) -> float:
    """As `Moments.squares`."""
    centred = s2 - s1 * s1 / max(count, 1)
    if centred < 0.0:
        centred = 0.0
    return np.inf if not np.isfinite(centred) and s1 == s1 else centred
