"""The words of a definition: what a team writes in its definitions folder, beside the aggregations. Nothing here computes.

An object's name is the variable it is assigned to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from features.vocabulary.aggregation import Feature


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
        trusted: The topic holds records of the schema's current version alone, in Avro single-object encoding: Flink's own Avro format decodes them,
            without the gate and its checks.
        earliest_event_time: No event happened before it: what says so goes to the dead letters, e.g. seconds given where milliseconds are
            declared, which are times of January 1970. With a time zone.
        envelope: What other programs wrap records in. `"connect"`: Kafka Connect's JSON of `schema` and `payload`. `"debezium"`: a change event, in
            JSON (with `schema` and `payload` or without) or Avro, whose record is in `after`; a field with a `path` is looked up from its root.
            A delete has no record: it goes to the dead letters, as the tombstone behind it does.
    """

    topic: str
    schema: str
    event_time: str = "event_time"
    lateness: timedelta = timedelta(0)
    id: str | None = None
    dedupe: timedelta | None = None
    trusted: bool = False
    earliest_event_time: datetime | None = None
    envelope: Literal["connect", "debezium"] | None = None


@dataclass(frozen=True, kw_only=True)
class FeatureView:
    """Features of one entity from one source.

    Attributes:
        entity: What they describe.
        source: The events.
        tile: The step at which windows move; every window is a multiple of it.
        features: Name → aggregation over a window, or over all time (`Lifetime`).
        delay: As of t, only tiles that end at or before t − delay are read; by default the source's lateness and 2 seconds.
        where: Only events for which this expression is TRUE are part of the view.
    """

    entity: Entity
    source: Source
    tile: timedelta
    features: Mapping[str, Feature]
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
