"""Levels: the sizes of tiles that a view's windows are folded from, and which of them a window takes where.

A window of W with hop h begins at a multiple of h, so that its tail needs no smaller tile. Tiles of the smallest level are what engines make and
topics keep; those of a larger one are merged from them, in the store and wherever it pays. What a window holds does not depend on it.

    begin                                                                  end
      ├─ tile ─┤├───── L1 ─────┤├─────────── L2 … ───────────┤├── L1 ──┤├ tile ┤
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from features.window import Sliding, Span

Int64s = NDArray[np.int64]

MOST_OF_A_LEVEL = 100
"""So many tiles of one level there are at most in one of the next, where a divisor allows it."""

_UNITS_MS = (1_000, 60_000, 3_600_000, 86_400_000)


def levels_ms(tile_ms: int, hops_ms: Iterable[int]) -> tuple[int, ...]:
    """The sizes of all levels in ms, ascending; each divides the next.

    Args:
        tile_ms: The smallest.
        hops_ms: Of the windows, which divide one another and are multiples of the tile, or less than it; the largest is the largest level.
    """
    sizes = sorted({tile_ms, *(hop for hop in hops_ms if hop > tile_ms)})
    found = [tile_ms]
    for size in sizes[1:]:
        found += [*_between(found[-1], size), size]
    return tuple(found)


def _between(low_ms: int, high_ms: int) -> list[int]:
    """Levels that keep a window from taking more than `MOST_OF_A_LEVEL` tiles of one: seconds, minutes, hours and days where they fit, else what takes least."""
    ratio = high_ms // low_ms
    if ratio <= MOST_OF_A_LEVEL:
        return []
    fitting = [
        unit for unit in _UNITS_MS if low_ms < unit < high_ms and unit % low_ms == high_ms % unit == 0 and unit <= MOST_OF_A_LEVEL * low_ms
    ]
    if fitting:
        return [fitting[-1], *_between(fitting[-1], high_ms)]
    steps = [step for step in _divisors(ratio) if 1 < step < ratio]
    if not steps:
        return []
    middle = low_ms * min(steps, key=lambda step: (step + ratio // step, step))
    return [*_between(low_ms, middle), middle, *_between(middle, high_ms)]


def _divisors(number: int) -> list[int]:
    small = [each for each in range(1, int(number**0.5) + 1) if number % each == 0]
    return sorted({*small, *(number // each for each in small)})


def reaches_ms(windows: Iterable[Span], sizes_ms: Sequence[int]) -> tuple[int, ...]:
    """How far before their end windows need tiles of each level: of a small one only behind the last of the next, where all hops are larger.

    Args:
        windows: The windows; `Lifetime` needs none.
        sizes_ms: As of `levels_ms`.
    """
    sliding = [window for window in windows if isinstance(window, Sliding)]
    nearby = (*sizes_ms[1:], max((window.reach_ms for window in sliding), default=0))
    return tuple(
        max((each.reach_ms if each.hop_ms <= size else min(near, each.reach_ms) for each in sliding), default=0)
        for size, near in zip(sizes_ms, nearby, strict=True)
    )


def segments(
    begin_ms: Int64s, end_ms: Int64s, levels: Sequence[int], merged_ms: Int64s | int | None = None
) -> list[tuple[int, Int64s, Int64s]]:
    """What windows take of each level: the largest tiles that fit, the smaller ones at both ends.

    Args:
        begin_ms: int64[n], multiples of the smallest level.
        end_ms: int64[n], the same, not before `begin_ms`.
        levels: Sizes in ms, ascending; each divides the next.
        merged_ms: Up to when there are tiles of the larger levels; None: everywhere.

    Returns:
        (level, from, to) in order of time, `2 · len(levels) − 1` of them; each window takes of that level the tiles that start in `[from, to)`.
    """
    begins, ends = [begin_ms], [end_ms]
    for number, size in enumerate(levels[1:]):
        last = ends[-1] if number or merged_ms is None else np.minimum(ends[-1], np.maximum(merged_ms, begin_ms))
        low, high = -(-begins[-1] // size) * size, last // size * size
        none = low > high
        begins.append(np.where(none, ends[-1], low))
        ends.append(np.where(none, ends[-1], high))
    top = len(levels) - 1
    tails = [(level, begins[level], begins[level + 1]) for level in range(top)]
    heads = [(level, ends[level + 1], ends[level]) for level in reversed(range(top))]
    return [*tails, (top, begins[top], ends[top]), *heads]
