"""The one logical plan: what definitions mean, before any engine renders it.

Definitions → plan → {Flink SQL, Spark SQL, Feast objects, kernel}. The meaning of a window is stated here and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.expressions.expression import Expression
from features.vocabulary.derived import DerivedFeature
from schemas.envelope import Envelope
from schemas.types import DataType


class PartialKind(StrEnum):
    """What a tile keeps of its events; each kind merges with itself."""

    COUNT = "count"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    LAST = "last"
    MOMENTS = "moments"
    TALLY = "tally"
    REGISTERS = "registers"
    BUCKETS = "buckets"
    LATEST = "latest"

    @property
    def is_map(self) -> bool:
        """Whether it is a map of sub-key → int64 (a multimap for latest): one text column, see `features.kernel.map_partials`."""
        return self in (PartialKind.TALLY, PartialKind.REGISTERS, PartialKind.BUCKETS, PartialKind.LATEST)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A physical column of a tile. `None` (null) means that no event of the tile contributed."""

    name: str
    type: DataType


@dataclass(frozen=True, kw_only=True)
class Partial:
    """A mergeable part of a tile.

    Attributes:
        name: Stable, derived from the content, e.g. `sum_dep_delay`; the stem of its columns.
        kind: How it is computed and merged.
        input: The aggregated expression; `None` only for the count of events. Null inputs are skipped.
        where: Only events for which this is TRUE contribute.
        tie: For first/last: breaks equal event times ahead of the value itself.
        type: Of the value.
        parameter: Of buckets: how many each octave has, a power of two. Of latest: how many values are kept.
    """

    name: str
    kind: PartialKind
    input: Expression | None
    where: Expression | None
    tie: Expression | None
    type: DataType
    parameter: int | None = None

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The physical columns, in storage order.

        count: n (never null). sum, min, max: the value. first, last: event time in ms, the tie value if declared, the value.
        moments: n, pivot (any double near the data), Σ(x − pivot), Σ(x − pivot)²: stable however far the mean is from 0.
        tally: how often each value occurs. registers: HyperLogLog's, register → largest rank. buckets: how many values are in each.
        latest: the last values, each with its event time in ms. These four are maps, each one column of text (`features.kernel.map_partials`).
        """
        match self.kind:
            case PartialKind.FIRST | PartialKind.LAST:
                tie = () if self.tie is None else (Column(name=f"{self.name}__tie", type=self.tie.type),)
                return (Column(name=f"{self.name}__at", type=DataType.INT64), *tie, Column(name=self.name, type=self.type))
            case PartialKind.MOMENTS:
                return (
                    Column(name=f"{self.name}__n", type=DataType.INT64),
                    Column(name=f"{self.name}__pivot", type=DataType.FLOAT64),
                    Column(name=f"{self.name}__s1", type=DataType.FLOAT64),
                    Column(name=f"{self.name}__s2", type=DataType.FLOAT64),
                )
            case _:
                return (Column(name=self.name, type=self.type),)


class Finish(StrEnum):
    """How merged partials become the value of a feature."""

    VALUE = "value"  # count and sum (0 when empty), min, max, first, last (null when empty)
    MEAN = "mean"  # partials: sum, count
    VARIANCE = "variance"  # partials: moments; of the sample
    STDDEV = "stddev"
    SHARE = "share"  # partials: count where, count
    TOP = "top"  # partials: tally; argument: the rank, from 1
    CATEGORY = "category"  # partials: tally; argument: the value as text
    DISTINCT = "distinct"  # partials: registers
    LATEST = "latest"  # partials: latest; argument: which, 1 is the last
    QUANTILE = "quantile"  # partials: buckets; argument: q


@dataclass(frozen=True, kw_only=True)
class WindowFeature:
    """A named aggregation over one window, e.g. `dep_delay_mean_1h`, or over all time: `window_ms` is then None."""

    name: str
    finish: Finish
    partials: tuple[Partial, ...]
    window_ms: int | None
    type: DataType
    text: str  # how the user wrote it, e.g. Mean("dep_delay").over(1h)
    argument: int | float | str | None = None  # of its finish


@dataclass(frozen=True, kw_only=True)
class SourcePlan:
    """A topic of events (or requests) and how its time and identity are read."""

    name: str
    topic: str
    schema: str
    columns: Mapping[str, DataType]  # every field of the current schema, in order
    nullable: frozenset[str]
    event_time: str
    lateness_ms: int
    id: str | None
    dedupe_ms: int | None
    trusted: bool
    earliest_ms: int | None = None
    envelope: Envelope | None = None

    @property
    def dead_letter_topic(self) -> str:
        """Where refused records go, bytes untouched."""
        return f"{self.topic}.dlq"

    @property
    def late_topic(self) -> str:
        """Where events behind the watermark go."""
        return f"{self.topic}.late"


def tiles_topic(view: str) -> str:
    """The topic of a view's tiles."""
    return f"tidemark.tiles.{view}"


@dataclass(frozen=True, kw_only=True)
class ViewPlan:
    """A feature view: one source, one entity, one tile size, one delay.

    A tile covers `[k·tile, (k+1)·tile)`, epoch-aligned in UTC. As of t, with `b = floor((t − delay) / tile) · tile`,
    a window W covers events with event time in `[b − W, b)`, and `Lifetime` all before b.
    """

    name: str
    entity: str
    keys: tuple[Column, ...]  # the entity's key columns, in declared order
    source: SourcePlan
    tile_ms: int
    delay_ms: int
    where: Expression | None
    partials: tuple[Partial, ...]
    features: tuple[WindowFeature, ...]

    @cached_property
    def tile_columns(self) -> tuple[Column, ...]:
        """All physical columns of a tile, after keys and tile start."""
        return tuple(column for partial in self.partials for column in partial.columns)

    @cached_property
    def longest_window_ms(self) -> int:
        """How far back the widest window reaches; `Lifetime` has none, and 0 is where nothing has one."""
        return max((feature.window_ms for feature in self.features if feature.window_ms is not None), default=0)

    @cached_property
    def has_lifetime(self) -> bool:
        """Whether a feature needs all tiles since ever."""
        return any(feature.window_ms is None for feature in self.features)

    @property
    def widest_window_ms(self) -> int | None:
        """The window that all others are part of: None for all time."""
        return None if self.has_lifetime else self.longest_window_ms

    @cached_property
    def map_features(self) -> dict[str, tuple[WindowFeature, ...]]:
        """Feature name → all features of the same map partial and window, it among them, for every feature of such a partial: one merge serves all."""
        groups: dict[tuple[str, int | None], list[WindowFeature]] = defaultdict(list)
        for feature in self.features:
            if feature.partials[0].kind.is_map:
                groups[feature.partials[0].name, feature.window_ms].append(feature)
        return {feature.name: tuple(group) for group in groups.values() for feature in group}

    @property
    def tiles_topic(self) -> str:
        """The durable log of this view's tiles; key = entity key."""
        return tiles_topic(self.name)

    def boundary_ms(self, as_of_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """The end `b` of every window as of the given times (int64 ms since the epoch, negative ones too)."""
        return np.floor_divide(as_of_ms - self.delay_ms, self.tile_ms) * self.tile_ms

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (first 16 hex digits) of everything that changes a value."""
        return _fingerprint(describe_view(self))


@dataclass(frozen=True, kw_only=True)
class RequestFeature:
    """A feature computed from the request itself."""

    name: str
    expression: Expression


@dataclass(frozen=True, kw_only=True)
class LabelPlan:
    """What then happened: `value` over the source's event that has the request's id in field `on`."""

    source: SourcePlan
    on: str
    value: Expression


@dataclass(frozen=True, kw_only=True)
class ServicePlan:
    """The features of one model: request features, each view's, derived ones, in declared order; names are unique."""

    name: str
    request: SourcePlan
    views: tuple[ViewPlan, ...]
    request_features: tuple[RequestFeature, ...]
    label: LabelPlan | None
    derived: tuple[DerivedFeature, ...] = ()

    @cached_property
    def feature_types(self) -> dict[str, DataType]:
        """Feature name → type, in the order of the feature vector."""
        own = {feature.name: feature.expression.type for feature in self.request_features}
        viewed = {feature.name: feature.type for view in self.views for feature in view.features}
        return own | viewed | dict.fromkeys((feature.name for feature in self.derived), DataType.FLOAT64)

    @property
    def predictions_topic(self) -> str:
        """Where scored requests go."""
        return f"{self.name}.predictions"

    @cached_property
    def fingerprint(self) -> str:
        """The service's version: sha256 (first 16 hex digits) of everything that changes a value."""
        return _fingerprint(describe_service(self))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a folder of definitions declares, by name."""

    sources: Mapping[str, SourcePlan] = field(default_factory=dict)
    views: Mapping[str, ViewPlan] = field(default_factory=dict)
    services: Mapping[str, ServicePlan] = field(default_factory=dict)

    def views_of(self, source: str) -> tuple[ViewPlan, ...]:
        """The views that read one source, in name order."""
        return tuple(view for _, view in sorted(self.views.items()) if view.source.name == source)


WRITTEN = "written"
"""The archive's folders: `written=2026-11-30`, the day on which the job wrote, in UTC."""

FRONTIER_TOPIC = "tidemark.frontier"


def describe_partial(partial: Partial) -> dict[str, object]:
    """A partial as plain data: canonical text of its expressions."""
    return {
        "kind": str(partial.kind),
        "type": str(partial.type),
        "input": None if partial.input is None else partial.input.text,
        "where": None if partial.where is None else partial.where.text,
        "tie": None if partial.tie is None else partial.tie.text,
    } | ({} if partial.parameter is None else {"parameter": partial.parameter})


def describe_view(view: ViewPlan) -> dict[str, object]:
    """A view as plain data, as `tidemark compile --engine plan` prints it and as it is fingerprinted."""
    return {
        "view": view.name,
        "entity": view.entity,
        "keys": {key.name: str(key.type) for key in view.keys},
        "source": view.source.name,
        "topic": view.source.topic,
        "event_time": view.source.event_time,
        "id": None if view.source.dedupe_ms is None else view.source.id,  # by which repeats are known, where they are dropped
        "tile_ms": view.tile_ms,
        "delay_ms": view.delay_ms,
        "where": None if view.where is None else view.where.text,
        "partials": {partial.name: describe_partial(partial) for partial in view.partials},
        "features": {
            feature.name: {
                "finish": str(feature.finish),
                "partials": [partial.name for partial in feature.partials],
                "window_ms": feature.window_ms,  # null: all time
                "type": str(feature.type),
            }
            | _unless_none("argument", feature.argument)
            for feature in view.features
        },
    } | _which_count(view.source)


def describe_service(service: ServicePlan) -> dict[str, object]:
    """A service as plain data, its views by name and fingerprint."""
    return {
        "service": service.name,
        "request": service.request.name,
        "event_time": service.request.event_time,
        "request_features": {f.name: f.expression.text for f in service.request_features},
        "views": {view.name: view.fingerprint for view in service.views},
        "features": {name: str(type_) for name, type_ in service.feature_types.items()},
        **({"derived": {f.name: {"source": f.source, "modules": dict(f.modules)} for f in service.derived}} if service.derived else {}),
        "label": None
        if service.label is None
        else {"source": service.label.source.name, "on": service.label.on, "value": service.label.value.text}
        | _which_count(service.label.source),
    } | _which_count(service.request)


def _which_count(source: SourcePlan) -> dict[str, object]:
    """What is declared of which of a topic's messages are records."""
    return _unless_none("earliest_ms", source.earliest_ms) | _unless_none("envelope", source.envelope and str(source.envelope))


def _unless_none(name: str, value: object) -> dict[str, object]:
    return {} if value is None else {name: value}


def _fingerprint(description: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]
