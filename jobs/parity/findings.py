"""What a comparison finds, as values that add up: parts of the predictions are compared apart, in any order, and their findings merged."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.tolerances import Floats, Rule

DECADES = tuple(range(-16, 1))
"""Sizes of differences are counted up to 10 to these powers; beside them those that are 0, those above 1, and those without a size."""
SIZES = len(DECADES) + 3

Counts = NDArray[np.int64]


def sizes(apart: Floats) -> Counts:
    """How many differences are of each size: 0, up to 1e-16, … up to 1, above, infinite (no size)."""
    place = 1 + np.searchsorted(10.0 ** np.array(DECADES, dtype=np.float64), apart, side="left")
    place = np.where(apart == 0.0, 0, np.where(np.isinf(apart), SIZES - 1, place))
    return np.bincount(place, minlength=SIZES).astype(np.int64)


@dataclass(frozen=True, kw_only=True, order=True)
class Case:
    """One prediction, request or tile that is worth a look.

    Attributes:
        at_ms: Its as-of time, or a tile's start.
        name: The request id, or a tile's entity key.
        note: What is the matter.
    """

    at_ms: int
    name: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Cases:
    """How many there are, and the first of them in time."""

    count: int = 0
    first: tuple[Case, ...] = ()
    most: int = 5

    @classmethod
    def of(cls, cases: Iterable[Case], most: int) -> Cases:
        """Count them and keep the first."""
        every = list(cases)
        return cls(count=len(every), first=tuple(heapq.nsmallest(most, every)), most=most)

    def __add__(self, other: Cases) -> Cases:
        """Both together."""
        most = max(self.most, other.most)
        return Cases(count=self.count + other.count, first=tuple(heapq.nsmallest(most, self.first + other.first)), most=most)


@dataclass(frozen=True, kw_only=True)
class Example:
    """A value that differs by more than allowed.

    Attributes:
        column: The feature, or the column of a tile.
        at_ms: The request's as-of time, or the tile's start.
        name: The request id, or the tile's entity key.
        online, history: Both values.
        apart: Their relative difference.
        key: The request's fields, or the tile's key columns.
    """

    column: str
    at_ms: int
    name: str
    online: Any
    history: Any
    apart: float
    key: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ColumnParity:
    """One feature of all exact predictions, or one column of all tiles.

    Attributes:
        name: Of the feature or column.
        rule: How well both sides must agree.
        compared: Values compared.
        different: Values that differ by more than allowed.
        largest: The largest relative difference seen; infinite where one has no size.
        empty: Values that are null on both sides.
        sizes: Differences by size, as `sizes` counts them.
        examples: The first that differ by more than allowed.
    """

    name: str
    rule: Rule
    compared: int
    different: int
    largest: float
    empty: int
    sizes: Counts
    examples: tuple[Example, ...] = ()

    @property
    def equal(self) -> int:
        """Values that agree."""
        return self.compared - self.different

    def merged(self, other: ColumnParity, most: int) -> ColumnParity:
        """Both together, with so many examples."""
        first = sorted(self.examples + other.examples, key=lambda example: (example.at_ms, example.name))
        return ColumnParity(
            name=self.name,
            rule=self.rule,
            compared=self.compared + other.compared,
            different=self.different + other.different,
            largest=max(self.largest, other.largest),
            empty=self.empty + other.empty,
            sizes=self.sizes + other.sizes,
            examples=tuple(first[:most]),
        )


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Predictions, or tiles, by time: those without a difference, those with one, those that were stale.

    Attributes:
        edges_ms: int64[k + 1].
        equal, different, stale: int64[k].
    """

    edges_ms: Counts
    equal: Counts
    different: Counts
    stale: Counts

    @classmethod
    def empty(cls, low_ms: int, high_ms: int, most: int = 60) -> Timeline:
        """At most so many equal parts of a round length that cover `[low, high)`."""
        step = next(step for step in _ROUND_MS if (high_ms - 1) // step - low_ms // step + 1 <= most)
        edges = np.arange(low_ms // step, (high_ms - 1) // step + 2, dtype=np.int64) * step
        none = np.zeros(len(edges) - 1, dtype=np.int64)
        return cls(edges_ms=edges, equal=none, different=none, stale=none)

    def plus(self, *, equal: Counts, different: Counts, stale: Counts) -> Timeline:
        """With these times (ms) counted as well."""
        counted = (np.histogram(times, self.edges_ms)[0] for times in (equal, different, stale))
        return Timeline(
            edges_ms=self.edges_ms,
            **{name: getattr(self, name) + n for name, n in zip(("equal", "different", "stale"), counted, strict=True)},
        )

    def merged(self, other: Timeline) -> Timeline:
        """Both together; the edges are the same."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in ("equal", "different", "stale")}
        return Timeline(edges_ms=self.edges_ms, **sums)


_SECOND_MS, _MINUTE_MS, _HOUR_MS, _DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
_ROUND_MS = [
    *(n * unit for unit in (1, _SECOND_MS, _MINUTE_MS) for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR_MS for n in (1, 2, 3, 6, 12)),
    *(n * _DAY_MS * 10**power for power in range(8) for n in (1, 2, 5)),
]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Online against history. Values are counted in `compared = equal + different`; rows (predictions, tiles) in the rest.

    Attributes:
        columns: Feature by feature, or column by column of a tile.
        rows: Predictions, or tiles online.
        missing: What history has and online has not: a request without a prediction, a tile that was never sent.
        extra: What online has and history has not: a prediction without a request or beside another for the same one, a tile of nothing.
        stale: Predictions that say that they were served from older tiles; not compared.
        unbacked: Predictions that claim to be exact though the frontier that they name is behind what an exact read needs.
        repeats: Second copies of the same prediction, or of the same revision of a tile, which at-least-once delivery allows.
        different_rows: Rows with at least one value that differs by more than allowed.
        timeline: The rows by time; None where it was not asked for.
    """

    columns: tuple[ColumnParity, ...]
    rows: int
    missing: Cases = Cases()
    extra: Cases = Cases()
    stale: Cases = Cases()
    unbacked: Cases = Cases()
    repeats: int = 0
    different_rows: int = 0
    timeline: Timeline | None = None

    @property
    def compared(self) -> int:
        """Values compared."""
        return sum(column.compared for column in self.columns)

    @property
    def different(self) -> int:
        """Values that differ by more than allowed."""
        return sum(column.different for column in self.columns)

    @property
    def equal(self) -> int:
        """Values that agree."""
        return self.compared - self.different

    @property
    def exact_share(self) -> float:
        """Predictions served from complete tiles, as a share of all."""
        return 1.0 - self.stale.count / self.rows if self.rows else 0.0

    @property
    def allowed(self) -> bool:
        """Whether nothing was found that DESIGN §3 forbids."""
        return not (self.different or self.missing.count or self.extra.count or self.unbacked.count)

    def summary(self) -> dict[str, int]:
        """The five figures of every report."""
        return {
            "compared": self.compared,
            "equal": self.equal,
            "different": self.different,
            "missing": self.missing.count,
            "extra": self.extra.count,
        }

    def merged(self, other: Parity, most: int) -> Parity:
        """Both together, with so many examples of each column."""
        timelines = [each.timeline for each in (self, other) if each.timeline is not None]
        return Parity(
            columns=tuple(mine.merged(theirs, most) for mine, theirs in zip(self.columns, other.columns, strict=True)),
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            extra=self.extra + other.extra,
            stale=self.stale + other.stale,
            unbacked=self.unbacked + other.unbacked,
            repeats=self.repeats + other.repeats,
            different_rows=self.different_rows + other.different_rows,
            timeline=reduce(Timeline.merged, timelines) if timelines else None,
        )
