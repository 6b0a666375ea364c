"""Which tiles windows need, and whether they were kept: whether a value can be exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from features.columns.values import Bools, Int64s
from features.levels import segments
from features.plan import ViewPlan
from features.window import Sliding, Span

NEVER_MS = (1 << 63) - 1
_ALWAYS_MS = -(1 << 63)


def needed_from_ms(
    view: ViewPlan, boundary_ms: Int64s, merged_ms: Int64s | None = None, *, windows: Iterable[Span] | None = None
) -> list[Int64s]:
    """From when on windows need tiles of each level.

    Args:
        view: Whose.
        boundary_ms: int64[m], the ends of the windows, aligned.
        merged_ms: int64[m], up to when there are tiles of the larger levels; None: nowhere.
        windows: Some of the view's; None: all.

    Returns:
        For each level int64[m], the start of the first tile; `NEVER_MS` where none is needed. What ends at the boundary needs no small tile after it.
    """
    sliding = [window for window in (view.windows if windows is None else windows) if isinstance(window, Sliding)]
    end = np.maximum(boundary_ms, _ALWAYS_MS + max((window.reach_ms for window in sliding), default=0))
    found = [end, *(np.full(len(end), NEVER_MS, dtype=np.int64) for _ in view.levels_ms[1:])]
    levels = view.levels_ms if merged_ms is not None else view.levels_ms[:1]
    for window in sliding:
        begin = window.begin_ms(end)
        assert begin is not None
        for level, low, high in segments(begin, end, levels, merged_ms):
            found[level] = np.minimum(found[level], np.where(low < high, low, NEVER_MS))
    return found


def lacking(needed: Sequence[Int64s], owner: Int64s, kept_from_ms: Sequence[Int64s]) -> Bools:
    """bool[m], whether tiles that windows need were dropped.

    Args:
        needed: Of each level, as of `needed_from_ms`.
        owner: int64[m], whose tiles each row needs; −1 owns none and has lost none.
        kept_from_ms: Of each level int64[owners]: tiles that start before were dropped.
    """
    lost = [from_ms < np.append(kept, _ALWAYS_MS)[owner] for from_ms, kept in zip(needed, kept_from_ms, strict=True)]
    found: Bools = np.logical_or.reduce(lost)
    return found
