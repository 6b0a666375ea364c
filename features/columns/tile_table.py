"""Tiles of many entities, and which of them a window has: what the kernel merges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.columns.column import Column
from features.columns.values import Bools, Int64s, Values
from features.levels import segments
from features.window import Span

Read = TypeVar("Read")

_CHUNK_ELEMENTS = 1 << 21  # tiles gathered at once: bounds memory, changes no value
_COMPOSITE_LIMIT = 1 << 62


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Tiles of many entities, in any order.

    Attributes:
        owner: int64[n], whose tile it is: any small non-negative number per entity.
        start_ms: int64[n], aligned to the view's tile size.
        columns: Name → values, for every physical column of the view's tiles.
        base: bool[n], which of them are bases: all tiles of an owner that start before the base's `start_ms`, merged. An owner has one at
            most. Only `Lifetime` features count it, as of boundaries at or after its start. None: there are none.
        level: int64[n], the number of the level that each is of (`features.levels`); None: all are of the smallest.
        merged_ms: int64[owners], up to when an owner's tiles are merged into those of larger levels, by the number of the owner; None: none are.
    """

    owner: Int64s
    start_ms: Int64s
    columns: Mapping[str, Values]
    base: Bools | None = None
    level: Int64s | None = None
    merged_ms: Int64s | None = None
    _read: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        columns: Iterable[Column],
        *,
        owner: Int64s,
        start_ms: Int64s,
        table: pa.Table | pa.RecordBatch,
        base: Bools | None = None,
        level: Int64s | None = None,
    ) -> Tiles:
        """Read the tile columns of an Arrow table."""
        values = {column.name: Values.of(table.column(column.name), column.type) for column in columns}
        return cls(owner=owner, start_ms=start_ms, columns=values, base=base, level=level)

    def chosen(self, rows: Bools) -> Tiles:
        """Some of the tiles."""
        if rows.all():
            return self
        columns = {
            name: Values(numbers=values.numbers[rows], valid=None if values.valid is None else values.valid[rows], words=values.words)
            for name, values in self.columns.items()
        }
        base, level = None if self.base is None else self.base[rows], None if self.level is None else self.level[rows]
        return replace(self, owner=self.owner[rows], start_ms=self.start_ms[rows], columns=columns, base=base, level=level)

    def read(self, column: str, read: Callable[[pa.Array[Any]], Read]) -> Read:
        """What the distinct texts of a string column say to its reader: read once, for all windows and features."""
        if column not in self._read:
            words = self.columns[column].words
            assert words is not None
            self._read[column] = read(words)
        found: Read = self._read[column]
        return found


@dataclass(frozen=True, kw_only=True)
class WindowTiles:
    """The tiles of one window for a batch of rows, gathered row by row in time order."""

    size: int  # rows
    filled: Int64s  # rows that have any tile
    lengths: Int64s  # tiles of each of them
    offsets: Int64s  # where each begins in `tile`
    tile: Int64s  # indices of the tiles, in order of time

    def reduce(self, operation: np.ufunc, numbers: NDArray[Any], empty: float) -> NDArray[Any]:
        """Reduce gathered numbers per row; `empty` for rows without tiles."""
        result = np.full(self.size, empty, dtype=numbers.dtype)
        if len(self.tile):
            result[self.filled] = operation.reduceat(numbers, self.offsets)
        return result

    def total(self, values: Values) -> Values:
        """Gathered values added up per row; 0 of nothing."""
        return Values(numbers=self.reduce(np.add, values.filled(0)[self.tile], 0))

    def any(self, valid: Bools | None) -> Bools:
        """Whether a row has a tile that is valid."""
        if valid is None:
            result = np.zeros(self.size, dtype=np.bool_)
            result[self.filled] = True
            return result
        return np.asarray(self.reduce(np.logical_or, valid[self.tile], 0), dtype=np.bool_)

    def spread(self, per_row: NDArray[Any]) -> NDArray[Any]:
        """A number per row, repeated for each of its tiles."""
        return np.repeat(per_row[self.filled], self.lengths)

    @cached_property
    def row(self) -> Int64s:
        """The row of each gathered tile."""
        return self.spread(np.arange(self.size, dtype=np.int64))


Range = tuple[Int64s, Int64s]
"""Of each row where tiles begin and end among the sorted ones."""


@dataclass(frozen=True, kw_only=True)
class TileIndex:
    """Tiles in order of (owner, level, start), an owner's base first, searchable with one int64."""

    levels_ms: tuple[int, ...]  # the sizes that there are tiles of
    composite: Int64s  # sorted: (owner · levels + level) · span, plus 0 for a base, plus 1 + the place of its start for another
    order: Int64s | None  # tile indices in that order; None when they came sorted
    distinct: bool  # no two tiles share owner, level and start
    first: int
    last: int
    span: int
    starts: Int64s | None  # distinct starts, where first..last is too wide to count tiles
    base_starts: Int64s | None  # start of every tile, where some are bases
    merged_ms: Int64s | None  # as of `Tiles`, and int64's minimum for owner −1

    @classmethod
    def of(cls, levels_ms: Sequence[int], tiles: Tiles) -> TileIndex:
        """Sort tiles, unless they are.

        Args:
            levels_ms: The sizes of the view's levels; tiles are of the first alone where they say no level.
            tiles: The tiles.
        """
        sizes = tuple(levels_ms) if tiles.level is not None else tuple(levels_ms[:1])
        tile_ms = sizes[0]
        starts: Int64s | None = None
        base = tiles.base if tiles.base is not None and tiles.base.any() else None
        own = tiles.start_ms if base is None else tiles.start_ms[~base]
        first, last = (int(own.min()), int(own.max())) if len(own) else (0, 0)
        span = (last - first) // tile_ms + 3
        start_ms = tiles.start_ms if base is None else np.where(base, first, tiles.start_ms)
        if (int(tiles.owner.max(initial=0)) + 2) * len(sizes) * span < _COMPOSITE_LIMIT:
            position = (start_ms - first) // tile_ms + 1
        else:
            starts = np.unique(own)
            span = len(starts) + 2
            position = np.searchsorted(starts, start_ms) + 1
        if base is not None:
            position = np.where(base, 0, position)
        composite = tiles.owner * (len(sizes) * span) + position
        if tiles.level is not None:
            composite = composite + tiles.level * span
        step = np.diff(composite)
        order = None
        if np.any(step < 0):
            order = np.argsort(composite, kind="stable")
            composite = composite[order]
            step = np.diff(composite)
        return cls(
            levels_ms=sizes,
            composite=composite,
            order=order,
            distinct=bool(np.all(step > 0)),
            first=first,
            last=last,
            span=span,
            starts=starts,
            base_starts=None if base is None else tiles.start_ms,
            merged_ms=None if tiles.level is None or tiles.merged_ms is None else np.append(tiles.merged_ms, np.iinfo(np.int64).min),
        )

    def ranges(self, owner: Int64s, boundary_ms: Int64s, window: Span) -> list[Range]:
        """Where each row's window lies among the sorted tiles: a range for each piece of it, in order of time."""
        end = np.minimum(np.maximum(boundary_ms, self.first), self.last + self.levels_ms[-1] + window.reach_ms)
        place = owner * (len(self.levels_ms) * self.span)
        begin = window.begin_ms(end)
        if begin is None:
            high = np.searchsorted(self.composite, place + self._position(end))
            low = np.searchsorted(self.composite, place + 1)
            return [(low if self.base_starts is None else low - self._has_base(place, low, boundary_ms, self.base_starts), high)]
        if len(self.levels_ms) == 1:
            return [self._between(place, begin, end)]
        merged = None if self.merged_ms is None else self.merged_ms[owner]
        pieces = segments(begin, end, self.levels_ms, merged)
        return [self._between(place + level * self.span, low, high) for level, low, high in pieces]

    def _between(self, place: Int64s, begin_ms: Int64s, end_ms: Int64s) -> Range:
        low, high = (np.searchsorted(self.composite, place + self._position(time)) for time in (begin_ms, end_ms))
        return low, high

    def _has_base(self, place: Int64s, low: Int64s, boundary_ms: Int64s, starts: Int64s) -> Bools:
        """Whether the tile before each row's first is a base that its boundary has passed."""
        at = np.searchsorted(self.composite, place)
        tile = np.minimum(at, len(starts) - 1)
        passed = starts[tile if self.order is None else self.order[tile]] <= boundary_ms
        return np.asarray((at < low) & passed, dtype=np.bool_)

    def _position(self, time_ms: Int64s) -> Int64s:
        if self.starts is not None:
            return np.searchsorted(self.starts, time_ms) + 1
        return np.minimum(np.maximum(-((self.first - time_ms) // self.levels_ms[0]), 0), self.span - 2) + 1

    def window(self, ranges: Sequence[Range]) -> WindowTiles:
        """Gather the tiles of the given ranges of each row, one range after the other."""
        size = len(ranges[0][0])
        low, high = ranges[0] if len(ranges) == 1 else (np.stack([each[side] for each in ranges], axis=1).reshape(-1) for side in (0, 1))
        pieces = high - low
        lengths = pieces if len(ranges) == 1 else pieces.reshape(size, len(ranges)).sum(axis=1)
        begins = np.cumsum(pieces) - pieces
        flat = np.repeat(low - begins, pieces) + np.arange(int(pieces.sum()), dtype=np.int64)
        filled = np.flatnonzero(lengths)
        lengths = lengths[filled]
        tile = flat if self.order is None else self.order[flat]
        return WindowTiles(size=size, filled=filled, lengths=lengths, offsets=np.cumsum(lengths) - lengths, tile=tile)


def count(ranges: Sequence[Range]) -> Int64s:
    """How many tiles there are in the ranges of each row."""
    total: Int64s = sum((high - low for low, high in ranges), start=np.zeros(len(ranges[0][0]), dtype=np.int64))
    return total


def batches(lengths: Int64s) -> list[slice]:
    """Slices of rows whose windows together stay within the memory bound; one slice for no rows."""
    ends = np.cumsum(lengths)
    if not len(ends) or ends[-1] <= _CHUNK_ELEMENTS:
        return [slice(0, len(ends))]
    found, begin = [], 0
    while begin < len(ends):
        done = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + _CHUNK_ELEMENTS, side="right")))
        found.append(slice(begin, end))
        begin = end
    return found
