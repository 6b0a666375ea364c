"""What a window covers, and how far as of a time it can be known: the one place for both, in numpy and in SQL.

Tiles are `[k·tile, (k+1)·tile)`. As of t every window ends at `b = floor((t − delay) / tile) · tile`; one of size W begins at b − W, `Lifetime`
at the beginning. Online b goes no further than the frontier, up to which all tiles are readable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from features.durations import show

Int64s = NDArray[np.int64]
Times = TypeVar("Times", int, Int64s)

NEVER_MS = -(1 << 63)
"""Before all tiles, ms since the epoch: the frontier of a view that has none yet."""


@dataclass(frozen=True, kw_only=True)
class Sliding:
    """The last `size_ms`, a multiple of the tile."""

    size_ms: int

    is_bounded: ClassVar[bool] = True

    @property
    def reach_ms(self) -> int:
        """How far before its end it needs tiles one by one."""
        return self.size_ms

    @property
    def recorded(self) -> int | None:
        """As plans record it, under `window_ms`."""
        return self.size_ms

    def begin_ms(self, end_ms: Times) -> Times | None:
        """Where it begins when it ends at `end_ms`; None is the beginning of time."""
        return end_ms - self.size_ms

    def text(self, aggregation: str) -> str:
        """An aggregation over it, as a definition writes that."""
        return f"{aggregation}.over({show(self.size_ms)})"


@dataclass(frozen=True, kw_only=True)
class Lifetime:
    """All time: it needs no tile by itself, since old ones are kept merged, in a key's base."""

    is_bounded: ClassVar[bool] = False

    @property
    def reach_ms(self) -> int:
        """See `Sliding.reach_ms`."""
        return 0

    @property
    def recorded(self) -> int | None:
        """See `Sliding.recorded`."""
        return None

    def begin_ms(self, end_ms: Times) -> Times | None:
        """See `Sliding.begin_ms`."""
        return None

    def text(self, aggregation: str) -> str:
        """See `Sliding.text`."""
        return f"Lifetime({aggregation})"


Window = Sliding | Lifetime


def widest(windows: Iterable[Window]) -> Window:
    """The window that all of these are part of; an empty one of none."""
    found = list(windows)
    unbounded = [window for window in found if not window.is_bounded]
    return unbounded[0] if unbounded else Sliding(size_ms=max((window.reach_ms for window in found), default=0))


def boundary_ms(as_of_ms: Int64s, *, delay_ms: int, tile_ms: int) -> Int64s:
    """The end b of every window as of the given times (int64 ms since the epoch, negative ones too)."""
    return np.floor_divide(as_of_ms - delay_ms, tile_ms) * tile_ms


def boundary_sql(as_of: str, *, delay_ms: int, tile_ms: int) -> str:
    """As `boundary_ms`, of a BIGINT expression; `%` has the sign of its dividend, in every engine."""
    due = f"({as_of} - {delay_ms})"
    return f"({due} - ({due} % {tile_ms} + {tile_ms}) % {tile_ms})"


def opens_after_ms(*, delay_ms: int, tile_ms: int) -> int:
    """How long after its start a tile lies before b: `t ≥ start + this` is `b ≥ start + tile`, said of t."""
    return tile_ms + delay_ms


def complete_ms(boundary: Int64s, frontier_ms: Int64s | int, *, tile_ms: int) -> Int64s:
    """Boundaries, moved back to the newest complete tiles where the frontier has not reached them.

    Args:
        boundary: int64[n], aligned.
        frontier_ms: Up to when all tiles are readable: of each, or of all; `NEVER_MS` where there is no frontier yet.
        tile_ms: The view's.
    """
    return np.minimum(boundary, np.maximum(frontier_ms, NEVER_MS + tile_ms) // tile_ms * tile_ms)
