"""The one logical plan: what definitions mean, before any engine renders it.

Definitions → plan → {Flink SQL, Spark SQL, Feast objects, kernel}. What a window covers is said in `features.window`, what a tile keeps in
`features.partials`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from features.columns.column import Column
from features.expressions.expression import Expression
from features.levels import levels_ms, reaches_ms
from features.partials.finish import Finish
from features.partials.merging import Merging
from features.partials.partial import Partial
from features.partials.program import Program
from features.vocabulary.derived import DerivedFeature
from features.window import Int64s, Sliding, Span, Window, boundary_ms, boundary_sql, complete_ms, opens_after_ms, widest
from schemas.envelope import Envelope
from schemas.types import DataType


@dataclass(frozen=True, kw_only=True)
class WindowFeature:
    """A named aggregation over one window, e.g. `dep_delay_mean_1h`."""

    name: str
    finish: Finish
    partials: tuple[Partial, ...]
    window: Window
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
    a window W with hop h (the tile, if none is declared) covers events with event time in `[floor((b − W) / h) · h, b)`, and `Lifetime` all before b.
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
        return max((feature.window.reach_ms for feature in self.features), default=0)

    @cached_property
    def has_lifetime(self) -> bool:
        """Whether a feature needs all tiles since ever."""
        return not self.windows[0].is_bounded

    @cached_property
    def windows(self) -> tuple[Span, ...]:
        """What all windows are part of, then the windows, each once."""
        own = [feature.window for feature in self.features]
        return tuple(dict.fromkeys([widest(own), *own]))

    @cached_property
    def levels_ms(self) -> tuple[int, ...]:
        """The sizes of the tiles that windows are folded from, ascending: the tile, and what it is merged into up to the largest hop.

        Of a view with `Lifetime` features the tile alone: their base takes tiles one by one.
        """
        hops = [] if self.has_lifetime else [feature.window.hop_ms for feature in self.features if isinstance(feature.window, Sliding)]
        return levels_ms(self.tile_ms, hops)

    @cached_property
    def reaches_ms(self) -> tuple[int, ...]:
        """How far before the end of windows tiles of each level are needed."""
        return reaches_ms((feature.window for feature in self.features), self.levels_ms)

    def bounds(self, window: Span) -> bool:
        """Whether a window's maps, merged, may not be larger than a tile's: where tiles of larger levels or a base stand for many."""
        return not window.is_bounded or (len(self.levels_ms) > 1 and window.reach_ms >= self.levels_ms[1])

    @cached_property
    def merging(self) -> Merging:
        """What the kernel merges for the features, each once."""
        return Merging.of(self.features, self.windows)

    @cached_property
    def program(self) -> Program | None:
        """The same for compiled code; None where numpy alone can do it."""
        return Program.of(
            self.merging,
            columns=self.tile_columns,
            features=self.features,
            windows=[window.windows for window in self.windows],
            bounded=[self.bounds(window) for window in self.windows],
            levels_ms=self.levels_ms,
        )

    @property
    def tiles_topic(self) -> str:
        """The durable log of this view's tiles; key = entity key."""
        return tiles_topic(self.name)

    def boundary_ms(self, as_of_ms: Int64s) -> Int64s:
        """The end `b` of every window as of the given times (int64 ms since the epoch, negative ones too)."""
        return boundary_ms(as_of_ms, delay_ms=self.delay_ms, tile_ms=self.tile_ms)

    def boundary_sql(self, as_of: str) -> str:
        """As `boundary_ms`, of a BIGINT expression in SQL."""
        return boundary_sql(as_of, delay_ms=self.delay_ms, tile_ms=self.tile_ms)

    @property
    def opens_after_ms(self) -> int:
        """How long after a tile's start windows first have it; each keeps it for its size."""
        return opens_after_ms(delay_ms=self.delay_ms, tile_ms=self.tile_ms)

    def complete_ms(self, boundary: Int64s, frontier_ms: Int64s | int) -> Int64s:
        """Boundaries, moved back to the newest complete tiles: see `features.window.complete_ms`."""
        return complete_ms(boundary, frontier_ms, tile_ms=self.tile_ms)

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
        "kind": partial.kind,
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
                "finish": feature.finish.name,
                "partials": [partial.name for partial in feature.partials],
                **feature.window.recorded,  # window_ms null: all time
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
