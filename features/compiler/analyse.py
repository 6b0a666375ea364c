"""Definitions → the logical plan: names, sources, views, services, in this order; every fault is found before any is raised."""

from __future__ import annotations

from features.compiler.declarations import Definitions, Problems, checked_names
from features.compiler.services import analyse_services
from features.compiler.sources import analyse_sources, non_finite_fields
from features.compiler.views import analyse_views
from features.plan import Plan
from features.vocabulary.words import Entity
from schemas.errors import DefinitionError
from schemas.schema import SchemaSet


def analyse(definitions: Definitions, schemas: SchemaSet, problems: Problems) -> Plan:
    """Check definitions against their schemas and give them their meaning.

    Args:
        definitions: Of one folder.
        schemas: Every schema that sources may name.
        problems: Those found before; those found here are added.

    Raises:
        DefinitionError: All problems together.
    """
    checked_names(definitions, problems)
    _entities(definitions, problems)
    sources = analyse_sources(definitions, schemas, problems)
    non_finite = {source.name: non_finite_fields(schemas.current(source.schema)) for source in sources.values()}
    views = analyse_views(definitions, sources, non_finite, problems)
    services = analyse_services(definitions, sources, views, non_finite, problems)
    if problems.lines:
        raise DefinitionError(problems.lines)
    return Plan(
        sources={source.name: source for source in sources.values()},
        views={view.name: view for view in views.values()},
        services=services,
    )


def _entities(definitions: Definitions, problems: Problems) -> None:
    for declared in definitions.of(Entity):
        assert isinstance(declared.value, Entity)
        keys = declared.value.keys
        if isinstance(keys, str) or not keys or not all(isinstance(key, str) for key in keys):
            problems.add(declared, f'keys must be a list of field names, e.g. ["origin"], got {keys!r}')
        elif len({key.lower() for key in keys}) < len(keys):
            problems.add(declared, f"keys {', '.join(keys)} has a name twice")
