"""The words of a definition: what a team writes in its definitions folder. Nothing here computes; the compiler gives it meaning.

An object's name is the variable it is assigned to. To add an aggregation: one class.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from features.compiler.plan import Finish, PartialKind
from schemas.types import DataType

_NUMBERS = frozenset({DataType.INT64, DataType.FLOAT64})
_ORDERED = _NUMBERS | {DataType.TIMESTAMP, DataType.STRING}
_ANY = _ORDERED | {DataType.BOOLEAN}
_TEXT = frozenset({DataType.STRING, DataType.INT64, DataType.BOOLEAN})
_NO_PORTABLE_TEXT = {
    DataType.FLOAT64: "engines write a double as different texts; round it to whole units or cut it into named ranges with CASE",
    DataType.TIMESTAMP: "take a part of it, e.g. HOUR(…)",
}
_CATEGORY = re.compile("[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Aggregation:
    """Summarises the events of a window into one value; null inputs are skipped.

    Attributes:
        input: An expression over the source's columns, e.g. `"dep_delay"` or `"arr_delay - dep_delay"`.
        where: Only events for which this expression is TRUE are aggregated.
        parts: What tiles keep for it; merged over the window and finished by `finish`.
        accepts: The types of input that it is defined for.
        gives: The type of the value; `None` is the type of the input.
        refuses: Why a type that one might expect is not accepted.
    """

    input: str
    _: KW_ONLY
    where: str | None = None

    parts: ClassVar[tuple[PartialKind, ...]]
    finish: ClassVar[Finish] = Finish.VALUE
    accepts: ClassVar[frozenset[DataType]] = _NUMBERS
    gives: ClassVar[DataType | None] = None
    refuses: ClassVar[Mapping[DataType, str]] = {}

    @property
    def parameter(self) -> int | None:
        """What the tile's partial depends on besides its input."""
        return None

    @property
    def fault(self) -> str | None:
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
    accepts = _ANY
    gives = DataType.INT64


@dataclass(frozen=True)
class Sum(Aggregation):
    """The sum; int64 of int64 (wraps), double of double. 0 of nothing."""

    parts = (PartialKind.SUM,)


@dataclass(frozen=True)
class Mean(Aggregation):
    """The mean, a double. Null of nothing."""

    parts = (PartialKind.SUM, PartialKind.COUNT)
    finish = Finish.MEAN
    gives = DataType.FLOAT64


@dataclass(frozen=True)
class Min(Aggregation):
    """The smallest value. Null of nothing. Strings are ordered by their UTF-8 bytes."""

    parts = (PartialKind.MIN,)
    accepts = _ORDERED


@dataclass(frozen=True)
class Max(Aggregation):
    """The largest value. Null of nothing. Strings are ordered by their UTF-8 bytes."""

    parts = (PartialKind.MAX,)
    accepts = _ORDERED


@dataclass(frozen=True)
class Variance(Aggregation):
    """The variance of the sample (n − 1), a double. Null below two values."""

    parts = (PartialKind.MOMENTS,)
    finish = Finish.VARIANCE
    gives = DataType.FLOAT64


@dataclass(frozen=True)
class StdDev(Aggregation):
    """The standard deviation of the sample (n − 1), a double. Null below two values."""

    parts = (PartialKind.MOMENTS,)
    finish = Finish.STDDEV
    gives = DataType.FLOAT64


@dataclass(frozen=True)
class First(Aggregation):
    """The value of the earliest event that has one. Null of nothing.

    Attributes:
        tie: Breaks equal event times: the smallest wins, then the smallest value.
    """

    tie: str | None = None

    parts = (PartialKind.FIRST,)
    accepts = _ANY


@dataclass(frozen=True)
class Last(Aggregation):
    """The value of the latest event that has one. Null of nothing.

    Attributes:
        tie: Breaks equal event times: the largest wins, then the largest value.
    """

    tie: str | None = None

    parts = (PartialKind.LAST,)
    accepts = _ANY


@dataclass(frozen=True)
class Share(Aggregation):
    """The share of events for which `where` is TRUE, a double; with an input, of those where it is not null. Null of nothing."""

    input: str | None = None  # type: ignore[assignment]  # as for Count

    parts = (PartialKind.COUNT, PartialKind.COUNT)
    finish = Finish.SHARE
    accepts = _ANY
    gives = DataType.FLOAT64

    @property
    def fault(self) -> str | None:
        """See `Aggregation.fault`."""
        return "lacks where=, the condition whose share is asked for" if self.where is None else None


@dataclass(frozen=True)
class TopK(Aggregation):
    """The k most frequent values, as text: features `<name>_1` to `<name>_<k>`, null where there are fewer. Exact: tiles keep all counts.

    Equal counts are ordered by value, by the UTF-8 bytes of the text.

    Attributes:
        k: How many, 1 to 100.
    """

    k: int = 3

    parts = (PartialKind.TALLY,)
    finish = Finish.TOP
    accepts = _TEXT
    gives = DataType.STRING
    refuses = _NO_PORTABLE_TEXT

    @property
    def fault(self) -> str | None:
        """See `Aggregation.fault`."""
        return None if _is_whole(self.k, 1, 100) else f"k={self.k!r}; allowed is a whole number from 1 to 100"

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {f"_{rank}": rank for rank in range(1, self.k + 1)}


@dataclass(frozen=True)
class CategoryCounts(Aggregation):
    """How often each of some values occurs: features `<name>_<category>`, 0 of nothing. Exact; all of them share one partial.

    Attributes:
        categories: The values; or end of the feature's name → value, where a value cannot be part of a name.
    """

    categories: Sequence[str] | Mapping[str, str] = ()

    parts = (PartialKind.TALLY,)
    finish = Finish.CATEGORY
    accepts = _TEXT
    gives = DataType.INT64
    refuses = _NO_PORTABLE_TEXT

    @property
    def fault(self) -> str | None:
        """See `Aggregation.fault`."""
        given = self.categories
        if isinstance(given, str) or not isinstance(given, Mapping | Sequence) or not 1 <= len(given) <= 1_000:
            return f"categories={given!r}; allowed are 1 to 1000 values, or a mapping of name → value"
        for name, value in self._named.items():
            if not isinstance(value, str) or not isinstance(name, str) or not _CATEGORY.fullmatch(name):
                return f"category {name!r} cannot end a name (ASCII letters, digits, single underscores); give a mapping of name → value"
        return "names a category twice" if len({str(name).lower() for name in self._named}) < len(given) else None

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {f"_{name}": value for name, value in self._named.items()}

    @property
    def _named(self) -> Mapping[str, str]:
        return self.categories if isinstance(self.categories, Mapping) else {value: value for value in self.categories}


@dataclass(frozen=True)
class LastN(Aggregation):
    """The last n values by event time: features `<name>_1` (the last) to `<name>_<n>`, null where there are fewer. Exact.

    Equal event times are ordered by value, the largest first.

    Attributes:
        n: How many, 1 to 100.
    """

    n: int = 3

    parts = (PartialKind.LATEST,)
    finish = Finish.LATEST
    accepts = _TEXT | {DataType.FLOAT64}
    refuses = _NO_PORTABLE_TEXT

    @property
    def fault(self) -> str | None:
        """See `Aggregation.fault`."""
        return None if _is_whole(self.n, 1, 100) else f"n={self.n!r}; allowed is a whole number from 1 to 100"

    @property
    def parameter(self) -> int | None:
        """How many values a tile keeps."""
        return self.n

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {f"_{place}": place for place in range(1, self.n + 1)}


@dataclass(frozen=True)
class CountDistinct(Aggregation):
    """About how many distinct values, int64: HyperLogLog with 4096 registers, standard error 1.63 %. 0 of nothing.

    The hash is the first 64 bits of MD5 of the value's UTF-8 text (integers in decimal, booleans as true and false).
    """

    parts = (PartialKind.REGISTERS,)
    finish = Finish.DISTINCT
    accepts = _TEXT
    gives = DataType.INT64
    refuses = _NO_PORTABLE_TEXT


@dataclass(frozen=True)
class Quantile(Aggregation):
    """A value within `accuracy` (relative) of the element at rank floor(q · (n − 1)) of the sorted values, a double. Null of nothing.

    After DDSketch (Masson, Rim, Lee 2019) with the linearly interpolated mapping. Numbers nearer to 0 than the smallest normal double are 0.

    Attributes:
        q: 0 to 1, e.g. 0.95.
        accuracy: 0.0001 to 0.5; smaller needs more buckets in each tile.
    """

    q: float = 0.5
    accuracy: float = 0.01

    parts = (PartialKind.BUCKETS,)
    finish = Finish.QUANTILE
    gives = DataType.FLOAT64

    @property
    def fault(self) -> str | None:
        """See `Aggregation.fault`."""
        if not _is_number(self.q, 0, 1):
            return f"q={self.q!r}; allowed is a number from 0 to 1"
        return None if _is_number(self.accuracy, 0.0001, 0.5) else f"accuracy={self.accuracy!r}; allowed is a number from 0.0001 to 0.5"

    @property
    def parameter(self) -> int | None:
        """Buckets of an octave: a power of two, so that all arithmetic is exact, with 1 / (2n + 1) ≤ accuracy."""
        return int(2 ** math.ceil(math.log2(max((1 / self.accuracy - 1) / 2, 1))))

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {"": float(self.q)}


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


@dataclass(frozen=True, kw_only=True)
class Windowed:
    """An aggregation over a window, as a feature view names it."""

    aggregation: Aggregation
    window: timedelta


@dataclass(frozen=True, kw_only=True)
class Entity:
    """What features describe, e.g. an airport.

    Attributes:
        keys: The fields, in events and requests alike, that identify one; string or int64.
    """

    keys: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A Kafka topic of events or of requests.

    Attributes:
        topic: Where its records are published.
        schema: The name of its schema, e.g. `"departure"` for `departure.avsc`.
        event_time: The field that says when it happened (timestamp-millis).
        lateness: How much out of order events may be; what comes later is not counted online.
        id: The field that identifies an event or a request.
        dedupe: Events with the same id and event time are counted once; within this horizon. Needs `id`.
        trusted: The producers are known to be right: decoded by Flink's own Avro format, without the gate.
    """

    topic: str
    schema: str
    event_time: str = "event_time"
    lateness: timedelta = timedelta(0)
    id: str | None = None
    dedupe: timedelta | None = None
    trusted: bool = False


@dataclass(frozen=True, kw_only=True)
class FeatureView:
    """Features of one entity from one source.

    Attributes:
        entity: What they describe.
        source: The events.
        tile: The step at which windows move; every window is a multiple of it.
        features: Name → aggregation over a window.
        delay: As of t, only tiles that end at or before t − delay are read; by default the source's lateness and 2 seconds.
        where: Only events for which this expression is TRUE are part of the view.
    """

    entity: Entity
    source: Source
    tile: timedelta
    features: Mapping[str, Windowed]
    delay: timedelta | None = None
    where: str | None = None


@dataclass(frozen=True, kw_only=True)
class Label:
    """What then happened: the value over the event of `source` whose field `on` is the request's id.

    Attributes:
        source: The events that tell.
        on: The field that holds the request's id.
        value: A boolean or numeric expression over the event, e.g. `"arr_delay > 15"`.
    """

    source: Source
    on: str
    value: str


@dataclass(frozen=True, kw_only=True)
class FeatureService:
    """All features of one model.

    Attributes:
        request: The source of requests; needs an `id`. Its event time is what features are as of.
        views: The feature views, in the order of the feature vector, behind the request's own features.
        request_features: Fields of the request that are features as they are, or name → expression over the request.
        label: What the model is to predict.
        derived: Name → function of numpy arrays, float64 with NaN for null, whose parameters are names of the features above. It gives a
            number for each row, from that row alone; what is not finite is null. The same text runs online and in the backfill.
    """

    request: Source
    views: Sequence[FeatureView]
    request_features: Sequence[str] | Mapping[str, str] = field(default=())
    label: Label | None = None
    derived: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
