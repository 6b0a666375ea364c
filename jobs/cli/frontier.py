"""`tidemark frontier [VIEW] [--wait TIME]`: up to when the tiles of each view are readable online."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from features.catalog import load, view_named
from inference.online.active_generation import read_active
from inference.online.connection import connect
from inference.online.frontier import Completeness
from infra.settings import Settings
from jobs.control import store_state
from jobs.control.frontiers import held, undecided, wait_or_tell
from schemas.times import instant_ms, show_ms
from schemas.wire import now_ms
from schemas.wording import span

COMMANDS = {"frontier": "Say up to when views are readable"}


def command(
    view: Annotated[str | None, typer.Argument(help="Only this feature view")] = None,
    wait: Annotated[
        str | None, typer.Option(help="Return when the frontier has reached this time, e.g. 2013-10-01T12:00Z", metavar="TIME")
    ] = None,
    timeout: Annotated[float, typer.Option(help="How long to wait, in seconds")] = 60.0,
) -> None:
    """Say up to when views are readable online, or wait until they are that far."""
    target = None if wait is None else instant_ms(wait)

    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    names = sorted(plan.views) if view is None else [view_named(plan, view, where="frontier: ").name]
    store = connect(settings.redis_url)
    frontiers = store.frontiers(project=read_active(store).project)
    sources = {plan.views[name].source.topic for name in names}
    if target is not None:
        wait_or_tell(settings, sources, lambda: frontiers.read(names), target, timeout_s=timeout)
    Console(soft_wrap=True).print(_table(frontiers.known(names)))
    for line in [] if target is not None else held(undecided(settings, sources)):
        print(line)
    for line in store_state.problems(settings):
        print(f"online store: {line}")


def _table(known: Mapping[str, Completeness]) -> Table:
    table = Table("view", "complete since", "readable up to", "behind the clock", box=None, pad_edge=False)
    for name, found in known.items():
        behind = "" if found.frontier_ms is None else _distance(now_ms() - found.frontier_ms)
        table.add_row(name, store_state.show_since(found.since_ms), show_ms(found.frontier_ms), behind)
    return table


def _distance(behind_ms: int) -> str:
    return span(behind_ms) if behind_ms >= 0 else f"{span(-behind_ms)} ahead of it"
