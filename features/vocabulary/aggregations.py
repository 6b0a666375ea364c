"""The aggregations of the vocabulary. Nothing here computes; the compiler gives them meaning. To add one: one class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import ClassVar, NoReturn

from features.plan import Finish, PartialKind
from schemas.errors import DefinitionError
from schemas.types import DataType

NUMBERS = frozenset({DataType.INT64, DataType.FLOAT64})
ORDERED = NUMBERS | {DataType.TIMESTAMP, DataType.STRING}
ANY = ORDERED | {DataType.BOOLEAN}


@dataclass(frozen=True)
class Aggregation:
    """Summarises the events of a window into one value; null inputs are skipped.

    Attributes:
        input: An expression over the source's columns, e.g. `"dep_delay"` or `"arr_delay - dep_delay"`.
        where: Only events for which this expression is TRUE are aggregated.
        parts: What tiles keep for it; merged over the window and finished by `finish`.
        input_types: The types of input that it is defined for.
        output_type: The type of the value; `None` is the type of the input.
        rejections: Why a type that one might expect is not accepted.
    """

    input: str
    _: KW_ONLY
    where: str | None = None

    parts: ClassVar[tuple[PartialKind, ...]]
    finish: ClassVar[Finish] = Finish.VALUE
    input_types: ClassVar[frozenset[DataType]] = NUMBERS
    output_type: ClassVar[DataType | None] = None
    rejections: ClassVar[Mapping[DataType, str]] = {}

    @property
    def parameter(self) -> int | None:
        """What the tile's partial depends on besides its input."""
        return None

    @property
    def problem(self) -> str | None:
        """Why its arguments cannot be; None if they can."""
        return None

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """What is added to the feature's name → argument of `finish`; every feature is one scalar, which any model can take."""
        return {"": None}

    def over(self, window: timedelta) -> Windowed:
        """This aggregation over the last `window`, a multiple of the view's tile."""
        return Windowed(aggregation=self, window=window)


@dataclass(frozen=True)
class Count(Aggregation):
    """How many events; with an input, how many where it is not null. 0 of nothing."""

    input: str | None = None  # type: ignore[assignment]  # the only aggregation that can do without

    parts = (PartialKind.COUNT,)
    input_types = ANY
    output_type = DataType.INT64


@dataclass(frozen=True)
class Sum(Aggregation):
    """The sum; int64 of int64 (wraps), double of double. 0 of nothing."""

    parts = (PartialKind.SUM,)


@dataclass(frozen=True)
class Mean(Aggregation):
    """The mean, a double. Null of nothing."""

    parts = (PartialKind.SUM, PartialKind.COUNT)
    finish = Finish.MEAN
    output_type = DataType.FLOAT64


@dataclass(frozen=True)
class Min(Aggregation):
    """The smallest value. Null of nothing. Strings are ordered by their UTF-8 bytes."""

    parts = (PartialKind.MIN,)
    input_types = ORDERED


@dataclass(frozen=True)
class Max(Aggregation):
    """The largest value. Null of nothing. Strings are ordered by their UTF-8 bytes."""

    parts = (PartialKind.MAX,)
    input_types = ORDERED


@dataclass(frozen=True)
class Variance(Aggregation):
    """The variance of the sample (n − 1), a double. Null below two values."""

    parts = (PartialKind.MOMENTS,)
    finish = Finish.VARIANCE
    output_type = DataType.FLOAT64


@dataclass(frozen=True)
class StdDev(Aggregation):
    """The standard deviation of the sample (n − 1), a double. Null below two values."""

    parts = (PartialKind.MOMENTS,)
    finish = Finish.STDDEV
    output_type = DataType.FLOAT64


@dataclass(frozen=True)
class First(Aggregation):
    """The value of the earliest event that has one. Null of nothing.

    Attributes:
        tie: Breaks equal event times: the smallest wins, then the smallest value.
    """

    tie: str | None = None

    parts = (PartialKind.FIRST,)
    input_types = ANY


@dataclass(frozen=True)
class Last(Aggregation):
    """The value of the latest event that has one. Null of nothing.

    Attributes:
        tie: Breaks equal event times: the largest wins, then the largest value.
    """

    tie: str | None = None

    parts = (PartialKind.LAST,)
    input_types = ANY


@dataclass(frozen=True)
class Share(Aggregation):
    """The share of events for which `where` is TRUE, a double; with an input, of those where it is not null. Null of nothing."""

    input: str | None = None  # type: ignore[assignment]  # as for Count

    parts = (PartialKind.COUNT, PartialKind.COUNT)
    finish = Finish.SHARE
    input_types = ANY
    output_type = DataType.FLOAT64

    @property
    def problem(self) -> str | None:
        """See `Aggregation.problem`."""
        return "lacks where=, the condition whose share is asked for" if self.where is None else None


@dataclass(frozen=True)
class Feature:
    """An aggregation over a span of time, as a feature view names it."""

    aggregation: Aggregation


@dataclass(frozen=True, kw_only=True)
class Windowed(Feature):
    """An aggregation over a window."""

    window: timedelta


@dataclass(frozen=True)
class Lifetime(Feature):
    """An aggregation over all events of a key since ever: `Lifetime(Count())`. Null or 0 of nothing, as over a window.

    As of t it counts what happened before `b`, as windows do. Online it is exact as far back as the store was given tiles
    (`tidemark bootstrap` gives it those of history). Maps (TopK, CategoryCounts, CountDistinct, Quantile) are null once their entries
    are more than one tile may keep.
    """

    @property
    def problem(self) -> str | None:
        """Why its argument cannot be; None if it can."""
        given: object = self.aggregation
        if isinstance(given, Lifetime):
            return "Lifetime of a Lifetime is the same; write Lifetime once"
        if isinstance(given, Windowed):
            return f"Lifetime has no window; write Lifetime({type(given.aggregation).__name__}(…)) without .over, or .over without Lifetime"
        return None if isinstance(given, Aggregation) else f"Lifetime takes an aggregation, e.g. Lifetime(Count()), got {given!r}"

    def over(self, window: timedelta) -> NoReturn:
        """Refused.

        Raises:
            DefinitionError: Always.
        """
        raise DefinitionError("Lifetime has no window; write Lifetime(…) without .over, or .over without Lifetime")
