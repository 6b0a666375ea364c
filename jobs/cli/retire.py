"""`tidemark retire VIEW`: what is kept of a view that is no longer computed is removed: its tiles topic, its fields in the store, its record."""

from __future__ import annotations

from typing import Annotated

import typer

from features.catalog import load
from features.compiler.declarations import did_you_mean
from features.plan import tiles_topic
from features.versions.plan_diff import tile_differences
from inference.online.active_generation import project_of
from inference.online.connection import connect
from infra.settings import Settings
from jobs.control.deployed import Deployed, forget, runs_with
from jobs.control.generations import read_active
from jobs.flink.single_view import running
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from schemas.errors import SettingError

COMMANDS = {"retire": "Remove what is kept of a view that is no longer computed"}


def command(
    view: Annotated[str, typer.Argument(help="A feature view that is gone from the definitions, or changed in a breaking way")],
) -> None:
    """Remove a view's tiles topic, its fields in the online store, and the record of its definition. There is no way back but a bootstrap."""
    settings = Settings.load()
    applied, plan = Deployed.read(settings), load(settings.definitions, settings.schemas)
    if view not in applied.views:
        near = did_you_mean(view, sorted(applied.views)) if applied.views else "none was applied yet"
        raise SettingError(f'retire: no feature view was applied under the name "{view}"; {near}')
    record = applied.views[view]
    if view in plan.views and not tile_differences(record, plan.views[view]):
        raise SettingError(f'retire: view "{view}" is in the definitions, unchanged; remove it there first')
    store = connect(settings.redis_url)
    generation = read_active(settings, store).generation
    _refuse_running(settings, applied, view, str(record["description"]["source"]))
    topic = tiles_topic(view)
    admin.delete(Connection.of(settings), [topic, f"{topic}.dlq"])
    keys = sum(store.remove_view(project_of(each), view) for each in {generation, *map(int, applied.stored)})
    forget(settings, view)
    print(f"{view}: topics {topic} and {topic}.dlq deleted, fields of {keys:,} keys removed")


def _refuse_running(settings: Settings, applied: Deployed, view: str, source: str) -> None:
    """Raises SettingError when a job that was submitted with the view may run."""
    with_view = runs_with(applied, running(settings), view=view, source=source)
    if with_view:
        raise SettingError(
            f'retire: job {", ".join(sorted(with_view))} runs with view "{view}"; cancel it, or submit it anew with definitions without the view'
        )
