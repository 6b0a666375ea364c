"""The words of a definition: what a team writes in its definitions folder. Nothing here computes; the compiler gives it meaning.

An object's name is the variable it is assigned to. To add an aggregation: one class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import ClassVar

from features.compiler.plan import Finish, PartialKind
from schemas.types import DataType

_NUMBERS = frozenset({DataType.INT64, DataType.FLOAT64})
_ORDERED = _NUMBERS | {DataType.TIMESTAMP, DataType.STRING}
_ANY = _ORDERED | {DataType.BOOLEAN}


@dataclass(frozen=True)
class Aggregation:
    """Summarises the events of a window into one value; null inputs are skipped.

    Attributes:
        input: An expression over the source's columns, e.g. `"dep_delay"` or `"arr_delay - dep_delay"`.
        where: Only events for which this expression is TRUE are aggregated.
        parts: What tiles keep for it; merged over the window and finished by `finish`.
        accepts: The types of input that it is defined for.
        gives: The type of the value; `None` is the type of the input.
    """

    input: str
    _: KW_ONLY
    where: str | None = None

    parts: ClassVar[tuple[PartialKind, ...]]
    finish: ClassVar[Finish] = Finish.VALUE
    accepts: ClassVar[frozenset[DataType]] = _NUMBERS
    gives: ClassVar[DataType | None] = None

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
    """

    request: Source
    views: Sequence[FeatureView]
    request_features: Sequence[str] | Mapping[str, str] = field(default=())
    label: Label | None = None
