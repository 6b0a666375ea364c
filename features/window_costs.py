"""What windows cost, told before anything runs: the tiles that a read folds, those that the store keeps of a key, and the hop that would do.

Of a busy key, one with events in every tile, whose tiles are merged as far as they are closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from features.columns.record import RECORD
from features.levels import levels_ms, reaches_ms, segments
from features.plan import ViewPlan
from features.window import Lifetime, Sliding, Window
from schemas.types import DataType

DEAR = 1_000
"""A window whose tail is of more tiles than this is dear."""
LEAST_HOPS, MOST_HOPS = 10, 100
"""In a window, of a hop that would do."""

_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000
_NATURAL_MS = (1_000, _MINUTE_MS, 5 * _MINUTE_MS, 15 * _MINUTE_MS, _HOUR_MS, 6 * _HOUR_MS, _DAY_MS, 7 * _DAY_MS)
_MOST_ENDS = 1 << 17
_WIDTHS = {DataType.BOOLEAN: 1, DataType.STRING: 4}  # of a text its length; of all others 8


@dataclass(frozen=True, kw_only=True)
class WindowCost:
    """What one window of a view costs.

    Attributes:
        window: The window.
        features: The names of those over it.
        folded: Of each level the tiles that a read takes, wherever it ends the most.
        kept_bytes: Of the tiles that the store keeps for it, as if it were the view's only one; the least where their size varies.
        dear: Whether its tail is of more than `DEAR` tiles, to fold or to keep.
        better: The same with the smallest hop that would do, where it is dear and there is one.
    """

    window: Window
    features: tuple[str, ...]
    folded: tuple[int, ...]
    kept_bytes: int
    dear: bool
    better: WindowCost | None = None

    @property
    def reads(self) -> int:
        """How many tiles a read takes, a base as one."""
        return sum(self.folded) + (not self.window.is_bounded)


@dataclass(frozen=True, kw_only=True)
class ViewCost:
    """What the windows of a view cost.

    Attributes:
        view: The view.
        windows: Its windows, each once, the longest first.
        kept: Of each level the tiles that the store keeps of a key.
        kept_bytes: Their size; the least where it varies.
        varies: Whether it does: tiles keep text.
    """

    view: ViewPlan
    windows: tuple[WindowCost, ...]
    kept: tuple[int, ...]
    kept_bytes: int
    varies: bool

    @classmethod
    def of(cls, view: ViewPlan, *, slack_ms: int) -> ViewCost:
        """The costs of a view.

        Args:
            view: Its plan.
            slack_ms: How much longer than its windows need them the store keeps tiles.
        """
        counting = _Counting(view=view, slack_ms=slack_ms, tile_bytes=_tile_bytes(view))
        windows = dict.fromkeys(feature.window for feature in view.features)
        kept = counting.kept(windows, view.levels_ms)
        return cls(
            view=view,
            windows=tuple(counting.cost(window) for window in sorted(windows, key=_length, reverse=True)),
            kept=kept,
            kept_bytes=counting.bytes(kept, windows),
            varies=any(column.type is DataType.STRING for column in view.tile_columns),
        )


@dataclass(frozen=True, kw_only=True)
class _Counting:
    view: ViewPlan
    slack_ms: int
    tile_bytes: int

    def cost(self, window: Window) -> WindowCost:
        """Of a window of the view."""
        found = self._cost(window, self.view.levels_ms)
        return replace(found, better=self._better(window)) if found.dear and isinstance(window, Sliding) else found

    def kept(self, windows: Iterable[Window], sizes_ms: Sequence[int]) -> tuple[int, ...]:
        """Of each level the tiles that the store keeps of a key; none of a level whose tiles are larger than the windows."""
        reaches = reaches_ms(windows, sizes_ms)
        first = (self.slack_ms + reaches[0]) // sizes_ms[0]
        return first, *(
            -(-(self.slack_ms + reach) // size) if reach >= size else 0 for reach, size in zip(reaches[1:], sizes_ms[1:], strict=True)
        )

    def bytes(self, kept: Sequence[int], windows: Iterable[Window]) -> int:
        """Of tiles, and of the base where there is one."""
        return self.tile_bytes * (sum(kept) + any(not window.is_bounded for window in windows))

    def _cost(self, window: Window, sizes_ms: Sequence[int]) -> WindowCost:
        kept, folded = self.kept([window], sizes_ms), self._folded(window, sizes_ms)
        tail = window.size_ms // max(window.hop_ms, sizes_ms[0]) if isinstance(window, Sliding) else 0
        return WindowCost(
            window=window,
            features=tuple(feature.name for feature in self.view.features if feature.window == window),
            folded=folded,
            kept_bytes=self.bytes(kept, [window]),
            dear=isinstance(window, Sliding) and max(sum(folded), tail) > DEAR,
        )

    def _folded(self, window: Window, sizes_ms: Sequence[int]) -> tuple[int, ...]:
        """Asked of all ends there are, modulo the largest level; of very many, of some, the last among them, where a hop's window is longest."""
        tile_ms = sizes_ms[0]
        if isinstance(window, Lifetime):
            return ((self.view.longest_window_ms + self.slack_ms) // tile_ms,)
        ends = max(sizes_ms[-1], window.hop_ms) // tile_ms
        end_ms = np.unique(np.linspace(0, ends - 1, min(ends, _MOST_ENDS)).astype(np.int64)) * tile_ms
        begin_ms = window.begin_ms(end_ms)
        assert begin_ms is not None
        taken = np.zeros((len(sizes_ms), len(end_ms)), dtype=np.int64)
        for level, low, high in segments(begin_ms, end_ms, sizes_ms):
            taken[level] += (high - low) // sizes_ms[level]
        return tuple(taken[:, taken.sum(axis=0).argmax()].tolist())

    def _better(self, window: Sliding) -> WindowCost | None:
        """The window with the smallest hop that would do: natural, another window's, or of as many tiles as it takes. `Lifetime` apart, which leaves no levels."""
        tile_ms = self.view.tile_ms
        others = {each.hop_ms for feature in self.view.features if isinstance(each := feature.window, Sliding) and each != window}
        fewest_ms = -(-window.size_ms // (MOST_HOPS * tile_ms)) * tile_ms
        for hop_ms in (*_NATURAL_MS, *sorted(others), fewest_ms):
            fits = hop_ms % tile_ms == 0 and fewest_ms <= hop_ms <= window.size_ms // LEAST_HOPS
            if fits and all(max(hop_ms, other) % min(hop_ms, other) == 0 for other in others):
                return self._cost(replace(window, hop_ms=hop_ms), levels_ms(tile_ms, {hop_ms, *others}))
        return None


def _tile_bytes(view: ViewPlan) -> int:
    """Of a tile in the store, as `features.tiles.codec` packs it; of one with text what it takes at least."""
    columns = view.tile_columns
    return RECORD.size + (len(columns) + 7) // 8 + sum(_WIDTHS.get(column.type, 8) for column in columns)


def _length(window: Window) -> tuple[bool, int, int]:
    """Of windows to sort."""
    return (False, window.size_ms, window.hop_ms) if isinstance(window, Sliding) else (True, 0, 0)
