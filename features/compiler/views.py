"""Feature views → plan: windows become the partials that their tiles must keep; equal partials are kept once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from features.columns.column import TILE_START, Column
from features.compiler.declarations import Declared, Definitions, Problems, duration_ms, field_fault, name_fault
from features.compiler.sources import parse_over
from features.durations import show
from features.expressions.expression import Expression
from features.partials.partial import Partial
from features.plan import SourcePlan, ViewPlan, WindowFeature
from features.vocabulary.aggregation import Aggregation, Feature, Inputs, Lifetime, Windowed
from features.vocabulary.words import Entity, FeatureView, Source
from features.window import Lifetime as AllTime
from features.window import Sliding, Window
from schemas.errors import DefinitionError
from schemas.types import DataType

DEFAULT_PUBLISHING_MS = 2_000
"""Added to the source's lateness for the default delay: the time for a closed tile to become readable."""

KEY_TYPES = (DataType.STRING, DataType.INT64)
_TIE_TYPES = (DataType.INT64, DataType.FLOAT64, DataType.TIMESTAMP, DataType.STRING)
RESERVED_KEYS = frozenset({TILE_START, "revision"})
"""Columns of a tile beside its keys and partials."""

RESERVED_FEATURES = frozenset(
    {
        "event_time",
        "frontier",
        "label",
        "model",
        "model_version",
        "request_id",
        "scored_at",
        "score",
        "scores",
        "service",
        "service_version",
        "shard",
    }
    | {"stale", "stale_age_ms", "unseen", "variant"}
)
"""Columns of served and scored rows beside the features."""


def analyse_views(
    definitions: Definitions, sources: Mapping[int, SourcePlan], non_finite: Mapping[str, frozenset[str]], problems: Problems
) -> dict[int, ViewPlan]:
    """The feature views that are right, by the `id()` of their definition; the others' faults are noted."""
    plans: dict[int, ViewPlan] = {}
    key_types: dict[str, tuple[DataType, str]] = {}
    for declared in definitions.of(FeatureView):
        assert isinstance(declared.value, FeatureView)
        before = len(problems.lines)
        source = _source_of(declared, declared.value, definitions, sources, problems)
        builder = ViewBuilder(
            declared=declared, view=declared.value, definitions=definitions, source=source, non_finite=non_finite, problems=problems
        )
        plan = builder.build()
        if plan is not None and len(problems.lines) == before:
            plans[id(declared.value)] = plan
            _same_key_types(declared, plan, key_types, problems)
    return plans


def feature_name_fault(name: object) -> str | None:
    """Why this cannot be the name of a feature; None if it can."""
    if isinstance(name, str) and name.lower() in RESERVED_FEATURES:
        return f'"{name}" is reserved: served rows have a column of this name'
    return name_fault(name)


@dataclass(kw_only=True)
class ViewBuilder:
    """Builds one view's plan; notes every fault that it meets."""

    declared: Declared
    view: FeatureView
    definitions: Definitions
    source: SourcePlan | None
    non_finite: Mapping[str, frozenset[str]]
    problems: Problems
    partials: dict[str, Partial] = field(default_factory=dict)
    hops: dict[str, int] = field(default_factory=dict)
    """Feature → its hop, where it has one."""

    def build(self) -> ViewPlan | None:
        """The plan, if its source is right; check the problems before using it."""
        entity, keys = self._keys()
        tile_ms = self._duration("tile", self.view.tile, positive=True)
        delay_ms = self._delay()
        where = self._condition(self.view.where, self.declared.name)
        features = self._features(tile_ms)
        self._reserved_columns(keys)
        if self.source is None or entity is None or tile_ms is None or delay_ms is None:
            return None
        return ViewPlan(
            name=self.declared.name,
            entity=entity,
            keys=keys,
            source=self.source,
            tile_ms=tile_ms,
            delay_ms=delay_ms,
            where=where,
            partials=tuple(self.partials.values()),
            features=features,
        )

    def _duration(self, what: str, value: object, *, positive: bool, part: str | None = None) -> int | None:
        checked = duration_ms(value, what, positive=positive)
        if isinstance(checked, str):
            self.problems.add(self.declared, checked, part)
            return None
        return checked

    def _delay(self) -> int | None:
        if self.view.delay is None:
            return None if self.source is None else self.source.lateness_ms + DEFAULT_PUBLISHING_MS
        return self._duration("delay", self.view.delay, positive=False)

    def _keys(self) -> tuple[str | None, tuple[Column, ...]]:
        entity, found = self.view.entity, self.definitions.find(self.view.entity)
        if not isinstance(entity, Entity) or found is None:
            what = (
                "is not assigned to a variable of the definitions"
                if isinstance(entity, Entity)
                else f"must be an Entity, got {type(entity).__name__}"
            )
            self.problems.add(self.declared, f"entity {what}")
            return None, ()
        if self.source is None or isinstance(entity.keys, str):
            return found.name, ()
        columns = []
        for key in entity.keys:
            fault = field_fault(key, self.source.columns, f'source "{self.source.name}"', f'key of entity "{found.name}"')
            if fault is None and self.source.columns[key] not in KEY_TYPES:
                fault = f'key "{key}" of entity "{found.name}" is {self.source.columns[key]} in source "{self.source.name}"; allowed is string or int64'
            if fault is not None:
                self.problems.add(self.declared, fault)
            else:
                columns.append(Column(name=key, type=self.source.columns[key]))
        return found.name, tuple(columns)

    def _reserved_columns(self, keys: tuple[Column, ...]) -> None:
        taken = {column.name.lower() for partial in self.partials.values() for column in partial.columns} | RESERVED_KEYS
        for key in keys:
            if key.name.lower() in taken:
                self.problems.add(self.declared, f'key "{key.name}" is also the name of a column of its tiles; rename the field')

    def _parse(self, text: str, where: str) -> Expression | None:
        if self.source is None:
            return None
        with self.problems.caught(self.declared):
            return parse_over(self.source, text, where, self.non_finite[self.source.name])
        return None

    def _condition(self, text: str | None, where: str) -> Expression | None:
        if text is None:
            return None
        expression = self._parse(text, where)
        if expression is not None and expression.type is not DataType.BOOLEAN:
            with self.problems.caught(self.declared):
                raise DefinitionError(f'{where}: where= "{text}" is {expression.type}; a condition is boolean')
        return expression

    def _features(self, tile_ms: int | None) -> tuple[WindowFeature, ...]:
        features = self.view.features
        if not isinstance(features, Mapping) or not features:
            self.problems.add(self.declared, 'features must map names to aggregations, e.g. {"events_1h": Count().over(hour)}')
            return ()
        built: dict[str, WindowFeature] = {}
        for name, windowed in features.items():
            fault = feature_name_fault(name)
            if fault is None and name.lower() in built:
                fault = f'"{built[name.lower()].name}" is another feature of this view; names differ by more than case'
            if fault is not None:
                self.problems.add(self.declared, fault, str(name))
            elif (unfit := _unfit(windowed)) is not None:
                self.problems.add(self.declared, unfit, name)
            else:
                for feature in self._outputs(name, windowed, tile_ms):
                    fault = feature_name_fault(feature.name)
                    if fault is None and feature.name.lower() in built:
                        fault = f'"{built[feature.name.lower()].name}" is another feature of this view; names differ by more than case'
                    if fault is not None:
                        self.problems.add(self.declared, fault, feature.name)
                    built.setdefault(feature.name.lower(), feature)
        return tuple(built.values())

    def _outputs(self, name: str, windowed: Feature, tile_ms: int | None) -> list[WindowFeature]:
        """The features of one aggregation; none if it is faulty."""
        aggregation = windowed.aggregation
        window = self._window(name, windowed, tile_ms) if isinstance(windowed, Windowed) else AllTime()
        if aggregation.problem is not None:
            self.problems.add(self.declared, f"{type(aggregation).__name__} {aggregation.problem}", name)
            return []
        partials = self._partials(name, aggregation)
        if window is None or partials is None:
            return []
        return [
            WindowFeature(
                name=f"{name}{end}",
                finish=aggregation.finish,
                partials=partials,
                window=window,
                type=aggregation.output_type or partials[0].output_type,
                text=window.text(_written(aggregation)),
                argument=argument,
            )
            for end, argument in aggregation.outputs.items()
        ]

    def _window(self, name: str, windowed: Windowed, tile_ms: int | None) -> Window | None:
        size_ms = self._duration("window", windowed.window, positive=True, part=name)
        hop_ms = None if windowed.hop is None else self._duration("hop", windowed.hop, positive=True, part=name)
        if size_ms is None or (windowed.hop is not None and hop_ms is None):
            return None
        if tile_ms is None:
            return Sliding(size_ms=size_ms)
        uneven = {what: length_ms for what, length_ms in (("window", size_ms), ("hop", hop_ms or tile_ms)) if length_ms % tile_ms}
        for what, length_ms in uneven.items():
            below = length_ms // tile_ms * tile_ms
            nearest = " or ".join(show(allowed) for allowed in (below, below + tile_ms) if allowed)
            fault = f"{what} {show(length_ms)} is not a multiple of the tile {show(tile_ms)}; the nearest allowed is {nearest}"
            self.problems.add(self.declared, fault, name)
        if uneven:
            return None
        if hop_ms is None or hop_ms == tile_ms:
            return Sliding(size_ms=size_ms)
        if hop_ms > size_ms:
            fault = f"hop {show(hop_ms)} is longer than the window {show(size_ms)}; allowed is at most the window"
            self.problems.add(self.declared, fault, name)
            return None
        return self._fitting(name, Sliding(size_ms=size_ms, hop_ms=hop_ms))

    def _fitting(self, name: str, window: Sliding) -> Sliding | None:
        """The window, if its hop and those of the view's features before it divide one another."""
        for other, hop_ms in self.hops.items():
            if max(hop_ms, window.hop_ms) % min(hop_ms, window.hop_ms):
                fault = f'hop {show(window.hop_ms)} and hop {show(hop_ms)} of feature "{other}" do not divide one another, as the hops of a view must'
                self.problems.add(self.declared, fault, name)
                return None
        self.hops[name] = window.hop_ms
        return window

    def _partials(self, name: str, aggregation: Aggregation) -> tuple[Partial, ...] | None:
        """The partials that an aggregation needs, kept for the view; None if it is faulty."""
        where = f"{self.declared.name}.{name}"
        before = len(self.problems.lines)
        condition = self._condition(aggregation.where, where)
        value = None if aggregation.input is None and not _needs_input(aggregation) else self._parse(aggregation.input, where)
        tie_text = getattr(aggregation, "tie", None)
        tie = None if tie_text is None else self._parse(tie_text, where)
        word = type(aggregation).__name__
        if value is not None and value.type not in aggregation.input_types:
            allowed = ", ".join(sorted(aggregation.input_types))
            reason = aggregation.rejections.get(value.type)
            self.problems.add(
                self.declared,
                f'{word} of "{aggregation.input}", which is {value.type}, is not defined{f": {reason}" if reason else ""}; allowed is {allowed}',
                name,
            )
        if tie is not None and tie.type not in _TIE_TYPES:
            self.problems.add(self.declared, f'tie= "{tie_text}" is {tie.type}; allowed is {", ".join(sorted(_TIE_TYPES))}', name)
        if self.source is None or len(self.problems.lines) > before:
            return None
        return tuple(self._keep(partial) for partial in aggregation.partials(Inputs(value=value, where=condition, tie=tie)))

    def _keep(self, partial: Partial) -> Partial:
        kept = self.partials.setdefault(partial.name, partial)
        if kept != partial:
            self.problems.add(self.declared, f'two aggregations need a tile column "{partial.name}"; write one of them differently')
        return kept


def _unfit(windowed: object) -> str | None:
    """Why this is no aggregation over a window or all time; None if it is one."""
    if isinstance(windowed, Lifetime):
        return windowed.problem
    if isinstance(windowed, Aggregation):
        return "lacks its window; write .over(timedelta(…)), or Lifetime(…) for all time"
    return (
        None
        if isinstance(windowed, Windowed) and isinstance(windowed.aggregation, Aggregation)
        else f"must be an aggregation, got {windowed!r}"
    )


def _needs_input(aggregation: Aggregation) -> bool:
    return any(part.needs_input for part in aggregation.parts)


def _written(aggregation: Aggregation) -> str:
    own = [f"{each.name}={getattr(aggregation, each.name)!r}" for each in fields(aggregation) if each.name not in ("input", "tie", "where")]
    options = own + [f'{name}="{value}"' for name in ("tie", "where") if (value := getattr(aggregation, name, None)) is not None]
    arguments = [] if aggregation.input is None else [f'"{aggregation.input}"']
    return f"{type(aggregation).__name__}({', '.join(arguments + options)})"


def _source_of(
    declared: Declared, view: FeatureView, definitions: Definitions, sources: Mapping[int, SourcePlan], problems: Problems
) -> SourcePlan | None:
    if not isinstance(view.source, Source):
        problems.add(declared, f"source must be a Source, got {type(view.source).__name__}")
    elif definitions.find(view.source) is None:
        problems.add(declared, "source is not assigned to a variable of the definitions")
    return sources.get(id(view.source))


def _same_key_types(declared: Declared, plan: ViewPlan, seen: dict[str, tuple[DataType, str]], problems: Problems) -> None:
    for key in plan.keys:
        type_, other = seen.setdefault(key.name, (key.type, plan.name))
        if type_ is not key.type:
            problems.add(declared, f'key "{key.name}" is {key.type} here and {type_} in view "{other}"; a key has one type in all views')
