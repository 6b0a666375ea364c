"""`tidemark compile`: prints what definitions compile to: the logical plan, or one engine's rendering of it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from features.catalog import load
from features.compiler import feast, flink_tiles, spark
from features.compiler.declarations import did_you_mean
from features.plan import ServicePlan, ViewPlan, describe_service, describe_view
from infra.settings import Settings
from schemas.errors import SettingError

COMMANDS = {"compile": "Show what definitions compile to"}


class Engine(StrEnum):
    """What a plan can be rendered for."""

    PLAN = "plan"
    FLINK = "flink"
    SPARK = "spark"
    FEAST = "feast"


def command(
    view: Annotated[str | None, typer.Argument(help="One view; all when not given, with the services of the plan.")] = None,
    engine: Annotated[Engine, typer.Option(help="What to render for.")] = Engine.PLAN,
) -> None:
    """Show what the definitions compile to."""
    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    if view is not None and view not in plan.views:
        raise SettingError(f'compile: no view "{view}"; {did_you_mean(view, plan.views)}')
    chosen = list(plan.views.values()) if view is None else [plan.views[view]]
    parts = [rendered(one, engine) for one in chosen]
    if view is None:
        parts += [text for service in plan.services.values() if (text := rendered_service(service, engine)) is not None]
    print("\n\n".join(parts))


def rendered(view: ViewPlan, engine: Engine) -> str:
    """One view for one engine, as text that a reviewer can read."""
    match engine:
        case Engine.FLINK:
            return flink_tiles.render(view).rstrip()
        case Engine.SPARK:
            return f"-- tiles of {view.name}\n{spark.tile_query(view, as_known=False)};"
        case Engine.FEAST:
            return feast.describe_view(view).rstrip()
        case Engine.PLAN:
            return json.dumps(describe_view(view) | {"fingerprint": view.fingerprint}, indent=2)


def rendered_service(service: ServicePlan, engine: Engine) -> str | None:
    """One service, where the engine has such a thing."""
    match engine:
        case Engine.FEAST:
            return feast.describe_service(service).rstrip()
        case Engine.PLAN:
            return json.dumps(describe_service(service) | {"fingerprint": service.fingerprint}, indent=2)
        case _:
            return None
