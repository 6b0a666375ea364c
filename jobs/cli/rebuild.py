"""`tidemark rebuild`: the store anew, as another generation, from the tiles topics and history, while serving goes on from the one that is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from features.catalog import load
from features.plan import FRONTIER_TOPIC
from inference.online.connection import connect
from inference.online.losses import refuse_losses
from inference.online.writer import reject_ttl_with_lifetime
from infra.settings import Settings
from jobs.control.deployed import refuse_other_tiles
from jobs.control.generations import job_name, read_active
from jobs.control.tile_closings import extents
from jobs.generations.fill import fill_of_history, follow, start
from jobs.generations.proof import lines, prove
from jobs.generations.switch import switch
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.lag import Lag
from schemas.errors import SettingError

COMMANDS = {"rebuild": "Fill the store anew beside the one that is served"}
NEEDS = {"rebuild": ("flink", "spark")}


def command(
    events: Annotated[
        Path | None,
        typer.Option(help="Folder with one folder of Parquet files per source, e.g. the archive: for tiles that the topics no longer keep"),
    ] = None,
    switch_: Annotated[
        bool, typer.Option("--switch", help="Serve it when it is proven equal, and remove the one that is served now")
    ] = False,
) -> int:
    """Fill another generation of the store from the tiles topics, and compare it with the one that is served, value by value.

    Run it again to go on after an interrupt. Exit code 1 where the generations differ.
    """
    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    if not plan.views:
        raise SettingError("rebuild: the definitions declare no feature view; there is nothing to do")
    if events is not None and not events.is_dir():
        raise SettingError(f"--events: {events}: no such folder")
    reject_ttl_with_lifetime(plan.views.values(), settings.online_ttl_ms)
    refuse_other_tiles(settings, plan.views.values())
    store = connect(settings.redis_url)
    refuse_losses(store, plan.views.values(), loss=settings.online_loss)
    admin.ensure(settings, plan)
    now = read_active(settings, store).generation
    new = now + 1
    read = (*(view.tiles_topic for view in plan.views.values()), FRONTIER_TOPIC)
    backlog = Lag(Connection.of(settings), read, f"tidemark.{job_name(new)}")
    known = extents(settings, plan) if events is not None else {}
    start(settings, store, backlog, new, known if backlog.truncated else {})
    with _bar() as (progress, task):
        follow(settings, backlog, new, progress, task)
        if events is not None:
            fill_of_history(settings, plan, store, events, known, new, progress)
    if backlog.truncated and events is None:
        print(f"{', '.join(backlog.truncated)}: the beginning is no longer kept; what is missing comes from history: --events")
    if switch_:
        return 0 if switch(settings, store, tuple(plan.views.values()), new, keep=False, despite=False) else 1
    proof = prove(settings, store, tuple(plan.views.values()), now, new)
    print("\n".join(lines(proof, now, new)))
    if not proof.holds:
        return 1
    print(f"generation {new} is filled, and job {job_name(new)} goes on with it; `tidemark switch` serves it")
    return 0


@contextmanager
def _bar() -> Iterator[tuple[Progress, TaskID]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task("")
