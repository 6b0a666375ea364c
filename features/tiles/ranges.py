"""Which tiles a base is made of: what lets any writer bring any tile again, in any order, without counting it twice."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from features.columns.values import Bools, Int64s

_NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class TileRanges:
    """Tiles by number (start // tile) and revision, as runs of adjoining ones: a few bytes for each run, however long.

    Attributes:
        first: int64[runs], the number of each run's first tile, ascending.
        count: int64[runs], how many tiles it has.
        revision: int64[runs], of all of them.
    """

    first: Int64s
    count: Int64s
    revision: Int64s

    @classmethod
    def empty(cls) -> TileRanges:
        """Of no tiles."""
        return cls(first=_NOTHING, count=_NOTHING, revision=_NOTHING)

    @classmethod
    def of(cls, data: bytes) -> TileRanges:
        """Read `packed`.

        Raises:
            ValueError: It is damaged.
        """
        try:
            numbers = np.frombuffer(zlib.decompress(data), dtype="<i8").reshape(3, -1)
        except zlib.error as error:
            raise ValueError(f"ranges: {error}") from error
        return cls(first=np.cumsum(numbers[0]), count=numbers[1].copy(), revision=np.cumsum(numbers[2]))

    @property
    def packed(self) -> bytes:
        """Differences, compressed."""
        columns = (np.diff(self.first, prepend=0), self.count, np.diff(self.revision, prepend=0))
        return zlib.compress(np.concatenate(columns).astype("<i8").tobytes())

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return int(self.count.sum())

    @property
    def newest_revision(self) -> int:
        """The largest; 0 of no tiles."""
        return int(self.revision.max(initial=0))

    def find(self, numbers: Int64s) -> tuple[Bools, Int64s]:
        """Which tiles are here, and their revisions."""
        if not len(self.first):
            return np.zeros(len(numbers), dtype=np.bool_), np.zeros(len(numbers), dtype=np.int64)
        run = np.maximum(np.searchsorted(self.first, numbers, side="right") - 1, 0)
        here = (numbers >= self.first[run]) & (numbers < self.first[run] + self.count[run])
        return np.asarray(here, dtype=np.bool_), self.revision[run]

    def add(self, numbers: Int64s, revisions: Int64s) -> TileRanges:
        """With tiles that are not here yet, each once."""
        first = np.concatenate([self.first, numbers])
        order = np.argsort(first, kind="stable")
        count = np.concatenate([self.count, np.ones(len(numbers), dtype=np.int64)])[order]
        return _joined(first[order], count, np.concatenate([self.revision, revisions])[order])

    def within(self, first: int, end: int) -> TileRanges:
        """The tiles of numbers in `[first, end)`."""
        low = np.maximum(self.first, first)
        count = np.minimum(self.first + self.count, end) - low
        there = count > 0
        return TileRanges(first=low[there], count=count[there], revision=self.revision[there])

    def without(self, first: int, end: int) -> TileRanges:
        """The tiles of numbers that are not in `[first, end)`."""
        if not len(self.first):
            return self
        before, after = self.within(int(self.first[0]), first), self.within(end, int(self.first[-1] + self.count[-1]))
        parts = [np.concatenate(pair) for pair in zip(before._columns, after._columns, strict=True)]
        return TileRanges(first=parts[0], count=parts[1], revision=parts[2])

    @property
    def _columns(self) -> tuple[Int64s, Int64s, Int64s]:
        return self.first, self.count, self.revision

    def covers(self, other: TileRanges) -> bool:
        """Whether every tile of the other is here, in whatever revision."""
        mine = _joined(self.first, self.count, np.zeros_like(self.revision))
        if not len(other.first) or not len(mine.first):
            return not len(other.first)
        run = np.maximum(np.searchsorted(mine.first, other.first, side="right") - 1, 0)
        return bool(np.all((other.first >= mine.first[run]) & (other.first + other.count <= mine.first[run] + mine.count[run])))


def _joined(first: Int64s, count: Int64s, revision: Int64s) -> TileRanges:
    """Runs that adjoin made one."""
    if not len(first):
        return TileRanges.empty()
    parted = (first[:-1] + count[:-1] != first[1:]) | (revision[:-1] != revision[1:])
    begins = np.flatnonzero(np.concatenate([[True], parted]))
    return TileRanges(first=first[begins], count=np.add.reduceat(count, begins), revision=revision[begins])
