"""How a backfill is cut so that its memory is bounded: days into ranges, a range into groups of whole days, or, where those are too large, into keys and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm

import numpy as np

from features.columns.values import Int64s

DAY_MS = 86_400_000
FINE_BUCKETS = 64
"""Keys are counted in so many buckets; a power of two, so that larger buckets are unions of them."""

GROUPS_PER_CORE = 8
"""So many that all cores have work to the end."""

FEW_TASKS = 1_000
"""However many groups there are, because one day is busy and the others reach over years, tasks take several of them rather than be more."""

ROWS_PER_PARTITION = 250_000
"""Of a shuffle of a large range: so few that a partition is sorted in memory."""

_SHORTEST_CHUNK_MS = 60_000
_PIECES = 16
"""Pieces of time in each partition, at least, so that all hold about as many events."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Days that are computed together.

    Attributes:
        days: Days since the epoch in UTC that have requests, ascending.
    """

    days: tuple[int, ...]

    @property
    def start_ms(self) -> int:
        """Where the first day begins."""
        return self.days[0] * DAY_MS

    @property
    def end_ms(self) -> int:
        """Where the last day ends."""
        return (self.days[-1] + 1) * DAY_MS


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """Time cut into pieces of equal length; each needs the tiles of its own time and of a tail before it.

    Attributes:
        start_ms: Where the first begins.
        length_ms: Of each.
        count: How many.
        buckets: Into how many buckets of keys each is cut besides.
    """

    start_ms: int
    length_ms: int
    count: int
    buckets: int = 1

    @classmethod
    def of(cls, range_: Range, length_ms: int, buckets: int = 1) -> Chunks:
        """Chunks of a length that cover a range."""
        return cls(start_ms=range_.start_ms, length_ms=length_ms, count=-(-(range_.end_ms - range_.start_ms) // length_ms), buckets=buckets)


def ranges(pending: Sequence[int], done: Sequence[int], rows: Mapping[int, int], *, limit: int, least_days: int) -> list[Range]:
    """Cut days into ranges of about so many rows.

    Args:
        pending: Days to compute, ascending.
        done: Days between which no range may reach.
        rows: Day → rows of requests and events.
        limit: Rows, after which a range ends.
        least_days: No range with days after it is shorter: each reads the tail before it again.

    Returns:
        All pending days, ascending.
    """
    found: list[Range] = []
    held: list[int] = []
    counted = 0
    barriers = np.array(sorted(done), dtype=np.int64)
    for day in pending:
        parted = bool(held) and bool(np.searchsorted(barriers, held[-1]) != np.searchsorted(barriers, day))
        full = bool(held) and counted + rows.get(day, 0) > limit and day - held[0] >= least_days
        if parted or full:
            found.append(Range(days=tuple(held)))
            held, counted = [], 0
        held.append(day)
        counted += rows.get(day, 0)
    return [*found, Range(days=tuple(held))] if held else found


def whole_days(
    range_: Range, requests: Mapping[int, int], tiles: Sequence[tuple[int, Mapping[int, int]]], *, limit: int, cores: int
) -> Chunks | None:
    """Chunks of whole days in which no group has more rows than the limit; None where even one day has.

    Args:
        range_: The range.
        requests: Day → requests.
        tiles: Per view: how many days its tail reaches back, and day → tiles (or a number that is not less).
        limit: Requests and tiles of a group.
        cores: That should all have work.
    """
    first, size = range_.days[0], range_.days[-1] - range_.days[0] + 1
    asked = _Running.of(requests)
    made = [(back, _Running.of(counts)) for back, counts in tiles]
    length = max(1, -(-size // (GROUPS_PER_CORE * cores)))
    while True:
        starts = first + np.arange(0, size, length)
        ends = np.minimum(starts + length, first + size)
        rows = asked.between(starts, ends) + sum(counts.between(starts - back, ends) for back, counts in made)
        if int(rows.max()) <= limit:
            return Chunks.of(range_, length * DAY_MS)
        if length == 1:
            return None
        length //= 2


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Rows of one view in a range, by bucket of keys and slot of time.

    Attributes:
        slot_ms: Length of a slot.
        tail_slots: How many slots lie ahead of the range: as many as the tail of the longest window reaches over.
        tiles: int64[FINE_BUCKETS, tail_slots + slots].
        requests: int64[FINE_BUCKETS, slots].
    """

    slot_ms: int
    tail_slots: int
    tiles: Int64s
    requests: Int64s


def tasks(groups: int, *, cores: int) -> int:
    """How many tasks take so many groups."""
    return max(1, min(groups, max(FEW_TASKS, GROUPS_PER_CORE * cores)))


def keys_and_time(range_: Range, census: Histogram, *, limit: int) -> Chunks:
    """The buckets and chunks that replicate the fewest tiles in tails while no group has more rows than the limit.

    Where nothing fits, because one key's tail alone is larger, the cut with the smallest groups.
    """
    slots = census.requests.shape[1]
    best: tuple[bool, int, Chunks] | None = None
    buckets = 1
    while buckets <= FINE_BUCKETS:
        tiles = _running_slots(census.tiles, buckets)
        asked = _running_slots(census.requests, buckets)
        length = slots
        while length:
            starts = np.arange(0, slots, length)
            ends = np.minimum(starts + length, slots)
            groups = asked[:, ends] - asked[:, starts] + tiles[:, ends + census.tail_slots] - tiles[:, starts]
            largest, total = int(groups.max()), int(groups.sum())
            fits = largest <= limit
            candidate = (not fits, total if fits else largest, Chunks.of(range_, length * census.slot_ms, buckets))
            if best is None or candidate[:2] < best[:2]:
                best = candidate
            length //= 2
        buckets *= 2
    assert best is not None
    return best[2]


def piece_ms(range_: Range, tiles_ms: Sequence[int], *, partitions: int) -> int | None:
    """The length of the pieces of time by which a source's events are exchanged; None where there would be too few for so many partitions.

    Args:
        range_: The days.
        tiles_ms: The tiles of all views of the source; whole ones of each fit into a piece.
        partitions: Of the exchange.
    """
    length_ms = lcm(*tiles_ms)
    return length_ms if (range_.end_ms - range_.start_ms) // length_ms >= _PIECES * partitions else None


def slot_ms(range_: Range, slots: int = 1_000) -> int:
    """Length of the slots that a range is counted in: some thousand at most, whole minutes."""
    return max(_SHORTEST_CHUNK_MS, -(-(range_.end_ms - range_.start_ms) // slots // _SHORTEST_CHUNK_MS) * _SHORTEST_CHUNK_MS)


@dataclass(frozen=True, kw_only=True)
class _Running:
    """Rows per day as running sums."""

    days: Int64s
    sums: Int64s

    @classmethod
    def of(cls, rows: Mapping[int, int]) -> _Running:
        days = np.array(sorted(rows), dtype=np.int64)
        sums = np.cumsum(np.array([0, *(rows[int(day)] for day in days)], dtype=np.int64))
        return cls(days=days, sums=sums)

    def between(self, first: Int64s, end: Int64s) -> Int64s:
        """Rows of the days `[first, end)`."""
        return np.asarray(self.sums[np.searchsorted(self.days, end)] - self.sums[np.searchsorted(self.days, first)], dtype=np.int64)


def _running_slots(counts: Int64s, buckets: int) -> Int64s:
    """Running sums along time, of buckets that are unions of fine ones (a key of fine bucket f is in f mod buckets)."""
    coarse = counts.reshape(-1, buckets, counts.shape[1]).sum(axis=0)
    return np.concatenate([np.zeros((buckets, 1), dtype=np.int64), np.cumsum(coarse, axis=1)], axis=1)
