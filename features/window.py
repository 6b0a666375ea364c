"""What a window covers, and how far as of a time it can be known: the one place for both, in numpy and in SQL.

Tiles are `[k·tile, (k+1)·tile)`. As of t every window ends at `b = floor((t − delay) / tile) · tile`; one of size W and hop h begins at
`floor((b − W) / h) · h`, `Lifetime` at the beginning. Online b goes no further than the frontier, up to which all tiles are readable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """The last `size_ms`, a multiple of the tile, and what of the hop lies before: `[floor((b − size) / hop) · hop, b)`.

    The sawtooth windows of Chronon: the head moves with the tile, the tail with the hop, so that the tail needs no tile smaller than a hop.

    Attributes:
        hop_ms: At a multiple of which it begins, itself a multiple of the tile; 1: of the tile, so that it is exactly `size_ms` long.
    """

    size_ms: int
    hop_ms: int = 1

    is_bounded: ClassVar[bool] = True

    @property
    def windows(self) -> tuple[Sliding, ...]:
        """As of several together: itself."""
        return (self,)

    @property
    def reach_ms(self) -> int:
        """How far before its end it needs tiles: never further, and with a hop always less."""
        return self.size_ms if self.hop_ms == 1 else self.size_ms + self.hop_ms

    @property
    def recorded(self) -> Mapping[str, int | None]:
        """As plans record it."""
        return {"window_ms": self.size_ms} | ({} if self.hop_ms == 1 else {"hop_ms": self.hop_ms})

    def begin_ms(self, end_ms: Times) -> Times | None:
        """Where it begins when it ends at `end_ms`; None is the beginning of time."""
        begin = end_ms - self.size_ms
        return begin if self.hop_ms == 1 else begin // self.hop_ms * self.hop_ms

    def text(self, aggregation: str) -> str:
        """An aggregation over it, as a definition writes that."""
        hop = "" if self.hop_ms == 1 else f", hop={show(self.hop_ms)}"
        return f"{aggregation}.over({show(self.size_ms)}{hop})"


@dataclass(frozen=True, kw_only=True)
class Together:
    """All of several windows, none of which is part of another."""

    windows: tuple[Sliding, ...]

    is_bounded: ClassVar[bool] = True

    @property
    def reach_ms(self) -> int:
        """See `Sliding.reach_ms`."""
        return max(window.reach_ms for window in self.windows)

    def begin_ms(self, end_ms: Int64s) -> Int64s:
        """Where the first of them begins."""
        begins = [begin for window in self.windows if (begin := window.begin_ms(end_ms)) is not None]
        first: Int64s = np.minimum.reduce(begins)
        return first


@dataclass(frozen=True, kw_only=True)
class Lifetime:
    """All time: it needs no tile by itself, since old ones are kept merged, in a key's base."""

    is_bounded: ClassVar[bool] = False

    @property
    def windows(self) -> tuple[Sliding, ...]:
        """None that slides."""
        return ()

    @property
    def reach_ms(self) -> int:
        """See `Sliding.reach_ms`."""
        return 0

    @property
    def recorded(self) -> Mapping[str, int | None]:
        """See `Sliding.recorded`."""
        return {"window_ms": None}

    def begin_ms(self, end_ms: Times) -> Times | None:
        """See `Sliding.begin_ms`."""
        return None

    def text(self, aggregation: str) -> str:
        """See `Sliding.text`."""
        return f"Lifetime({aggregation})"


Window = Sliding | Lifetime
Span = Window | Together
"""What tiles are looked for in: a window, or several together."""


def widest(windows: Iterable[Window]) -> Span:
    """What all of these are part of: one of them, or the sum of some; an empty one of none."""
    found = list(dict.fromkeys(windows))
    for window in found:
        if isinstance(window, Lifetime):
            return window
    sliding = [window for window in found if isinstance(window, Sliding)]
    own = [window for window in sliding if not any(_within(window, other) for other in sliding if other != window)]
    return own[0] if len(own) == 1 else Together(windows=tuple(own)) if own else Sliding(size_ms=0)


def _within(window: Sliding, other: Sliding) -> bool:
    """Whether one never begins before the other: hops divide one another."""
    return window.size_ms <= other.size_ms and other.hop_ms % window.hop_ms == 0


def boundary_ms(as_of_ms: Int64s, *, delay_ms: Int64s | int, tile_ms: Int64s | int) -> Int64s:
    """The end b of every window as of the given times (int64 ms since the epoch, negative ones too); arguments of several views broadcast."""
    return np.floor_divide(as_of_ms - delay_ms, tile_ms) * tile_ms


def boundary_sql(as_of: str, *, delay_ms: int, tile_ms: int) -> str:
    """As `boundary_ms`, of a BIGINT expression; `%` has the sign of its dividend, in every engine."""
    due = f"({as_of} - {delay_ms})"
    return f"({due} - ({due} % {tile_ms} + {tile_ms}) % {tile_ms})"


def opens_after_ms(*, delay_ms: int, tile_ms: int) -> int:
    """How long after its start a tile lies before b: `t ≥ start + this` is `b ≥ start + tile`, said of t."""
    return tile_ms + delay_ms


def complete_ms(boundary: Int64s, frontier_ms: Int64s | int, *, tile_ms: Int64s | int) -> Int64s:
    """Boundaries, moved back to the newest complete tiles where the frontier has not reached them.

    Args:
        boundary: int64[n], aligned.
        frontier_ms: Up to when all tiles are readable: of each, or of all; `NEVER_MS` where there is no frontier yet.
        tile_ms: The view's, or of several.
    """
    return np.minimum(boundary, np.maximum(frontier_ms, NEVER_MS + tile_ms) // tile_ms * tile_ms)
