"""Definitions, compiled and ready to be fed: a folder of them by `load`, or one object by `replay`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from features import catalog
from features.compiler.analyse import analyse
from features.compiler.declarations import Declared, Definition, Definitions, Problems, did_you_mean
from features.plan import Plan, ViewPlan
from features.testing.gate import Checked, Gate, Row
from features.testing.instants import Instant, ms_of
from features.testing.request import Request, sources_of
from features.testing.seen import Seen, SeenView
from features.vocabulary.words import FeatureService, FeatureView, Source
from schemas.errors import DataError, SettingError
from schemas.schema import SHIPPED, SchemaSet

Rows = Sequence[Row] | pa.Table
"""A source's rows in the order of arrival: dicts by field name, or messages as bytes; or a table whose columns are the schema's fields."""

Refused = Literal["raise", "keep"]


@dataclass(frozen=True, kw_only=True)
class Harness:
    """Compiled definitions that can be fed.

    Attributes:
        plan: What they declare.
        schemas: The schemas that they name.
    """

    plan: Plan
    schemas: SchemaSet

    def replay(self, name: str, events: Rows | Mapping[str, Rows], *, dead_letters: Refused = "raise", now: Instant | None = None) -> Seen:
        """Feed events to a view, or to the views of a service.

        Args:
            name: Of the view or service.
            events: In the order of arrival. Where views read several sources: source → its rows; one that is left out has none.
            dead_letters: What becomes of rows that the gate refuses: an error, or `Seen.dead_letters`.
            now: The clock, which event times may be ahead of by 5 minutes; without one, by any time.

        Raises:
            SettingError: No view, service or source of this name.
            DataError: A row that no producer could send, or, if so asked, one that the gate refuses; all of them, a line each.
        """
        views, request = self._asked(name)
        sources = sources_of(views)
        given = _by_source(events, tuple(sources), name)
        now_ms = None if now is None else ms_of(now)
        checked = {
            source.name: Gate(source=source, schemas=self.schemas, now_ms=now_ms).check(given.get(source.name, ()))
            for source in sources.values()
        }
        if dead_letters == "raise":
            _none_refused(checked)
        return Seen(request=request, views={view.name: SeenView(view=view, checked=checked[view.source.name]) for view in views})

    def _asked(self, name: str) -> tuple[tuple[ViewPlan, ...], Request]:
        if name in self.plan.views:
            view = self.plan.views[name]
            return (view,), Request.of_view(view, self.schemas)
        if name in self.plan.services:
            service = self.plan.services[name]
            return service.views, Request.of_service(service, self.schemas)
        raise SettingError(f'no view or service is named "{name}"; {did_you_mean(name, [*self.plan.views, *self.plan.services])}')


def load(definitions: Path | str | None = None, schemas: Path | str | None = None) -> Harness:
    """Compile a folder of definitions, as `tidemark check` does.

    Args:
        definitions: The folder; the shipped example if None.
        schemas: The folder of their `.avsc` files; the shipped ones if None.

    Raises:
        SettingError: A folder that is not there.
        DefinitionError: Everything wrong with definitions and schemas, a line each.
    """
    folder, shapes = (None if path is None else Path(path) for path in (definitions, schemas))
    return Harness(plan=catalog.load(folder, shapes), schemas=SchemaSet.load(shapes or SHIPPED))


def replay(
    definition: FeatureView | FeatureService,
    events: Rows | Mapping[Source, Rows],
    *,
    schemas: Path | str | None = None,
    dead_letters: Refused = "raise",
    now: Instant | None = None,
) -> Seen:
    """Feed events to a view or service as its module declares it.

    Args:
        definition: The object; in messages its name is `view` or `service`, since only a folder tells names.
        events: As for `Harness.replay`, but by the `Source` itself.
        schemas: The folder of its `.avsc` files; the shipped ones if None.
        dead_letters: As there.
        now: As there.

    Raises:
        DefinitionError: Everything wrong with the definition, a line each.
        SettingError: As there.
        DataError: As there.
    """
    declared, harness = _compiled(_Same(definition), SHIPPED if schemas is None else Path(schemas))
    given: Any = events
    if isinstance(events, Mapping):
        names = {id(each.value): each.name for each in declared}
        given = {names.get(id(source), str(source)): rows for source, rows in events.items()}
    return harness.replay(declared[0].name, given, dead_letters=dead_letters, now=now)


@dataclass(frozen=True, eq=False)
class _Same:
    """A definition by identity; held, so that nothing else gets its identity."""

    definition: FeatureView | FeatureService

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.definition is other.definition

    def __hash__(self) -> int:
        return id(self.definition)


@lru_cache(maxsize=256)
def _compiled(same: _Same, schemas: Path) -> tuple[tuple[Declared, ...], Harness]:
    """A definition, all that it stands on, and what they compile to: once for all tests of a process."""
    declared, shapes = _declared(same.definition), SchemaSet.load(schemas)
    return declared, Harness(plan=analyse(Definitions(declared=declared), shapes, Problems()), schemas=shapes)


def _declared(definition: FeatureView | FeatureService) -> tuple[Declared, ...]:
    """A definition, and all that it stands on, under names that tell their place."""
    views = [definition] if isinstance(definition, FeatureView) else list(definition.views)
    found: dict[int, tuple[str, Definition]] = {id(definition): (type(definition).__name__.removeprefix("Feature").lower(), definition)}
    for view in views:
        found.setdefault(id(view), (f"view_{len(found)}", view))
        found.setdefault(id(view.source), (f"source_{len(found)}", view.source))
        found.setdefault(id(view.entity), (f"entity_{len(found)}", view.entity))
    if isinstance(definition, FeatureService):
        found.setdefault(id(definition.request), ("request", definition.request))
        if definition.label is not None:
            found.setdefault(id(definition.label.source), ("label", definition.label.source))
    return tuple(Declared(name=name, file="replay", value=value) for name, value in found.values())


def _by_source(events: Rows | Mapping[str, Rows], sources: Sequence[str], name: str) -> Mapping[str, Rows]:
    if not isinstance(events, Mapping):
        if len(sources) != 1:
            raise SettingError(f'"{name}" reads {", ".join(sources)}; give the events of each: source → rows')
        return {sources[0]: events}
    for source in events:
        if source not in sources:
            raise SettingError(f'"{name}" reads no source "{source}"; {did_you_mean(source, sources)}')
    return events


def _none_refused(checked: Mapping[str, Checked]) -> None:
    lines = [
        f'{source}[{place}]: {reason}; dead_letters="keep" takes it for a dead letter'
        for source, each in checked.items()
        for place, reason in each.refused
    ]
    if lines:
        raise DataError("\n".join(lines))
