"""`tidemark frontier [VIEW] [--wait TIME]`: up to when the tiles of each view are readable online."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from features.catalog import load, view_named
from inference.online.connection import connect
from inference.online.frontier import Completeness, Frontiers
from inference.online.serving import served
from infra.settings import Settings
from jobs import store_state, topics
from jobs.committed import End, Place
from schemas.errors import ServiceError
from schemas.times import instant_ms, show_ms
from schemas.wire import now_ms
from schemas.wording import span

_POLL_S = 0.05


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
    redis = connect(settings.redis_url)
    frontiers = Frontiers(redis, project=served(redis).project)
    sources = {plan.views[name].source.topic for name in names}
    if target is not None:
        _wait(settings, sources, lambda: frontiers.read(names), target, timeout_s=timeout)
    Console(soft_wrap=True).print(_table(frontiers.known(names)))
    for line in [] if target is not None else held(_undecided(settings, sources)):
        print(line)
    for line in store_state.problems(settings):
        print(f"online store: {line}")


def _wait(
    settings: Settings, topics_: Iterable[str], read: Callable[[], Mapping[str, int | None]], target_ms: int, *, timeout_s: float
) -> None:
    """As `wait_for`; where a transaction stood open all the while, that is the reason, and told. Others come and go."""
    before = _undecided(settings, topics_)
    try:
        wait_for(read, target_ms, timeout_s=timeout_s)
    except ServiceError as fault:
        after = _undecided(settings, topics_)
        lines = held({place: end for place, end in after.items() if place in before and before[place].decided == end.decided})
        raise ServiceError("; ".join([str(fault), *lines])) from fault


def held(undecided: Mapping[Place, End]) -> list[str]:
    """What open transactions hold back, a line for each partition."""
    return [
        f"topic {topic}, partition {partition}: an open transaction holds back {end.undecided:,} records from offset {end.decided} on, and event time with them"
        for (topic, partition), end in sorted(undecided.items())
    ]


def _undecided(settings: Settings, names: Iterable[str]) -> Mapping[Place, End]:
    """Nothing where Kafka does not tell: frontiers are the store's, and known without it."""
    try:
        return topics.undecided(settings.kafka_servers, names)
    except ServiceError:
        return {}


def wait_for(read: Callable[[], Mapping[str, int | None]], target_ms: int, *, timeout_s: float) -> Mapping[str, int | None]:
    """Read frontiers until all have reached a time.

    Args:
        read: View → frontier in ms, None for a view without one.
        target_ms: The time.
        timeout_s: How long to wait.

    Returns:
        The frontiers then.

    Raises:
        ServiceError: They did not get there in time; says which did not.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        now = read()
        behind = {name: frontier for name, frontier in now.items() if frontier is None or frontier < target_ms}
        if not behind:
            return now
        if time.monotonic() >= deadline:
            where = ", ".join(f"{name} is at {show_ms(frontier)}" for name, frontier in behind.items())
            raise ServiceError(
                f"frontier: not at {show_ms(target_ms)} after {span(timeout_s * 1000)}: {where}; see `tidemark jobs` for features and materialize"
            )
        time.sleep(_POLL_S)


def _table(known: Mapping[str, Completeness]) -> Table:
    table = Table("view", "complete since", "readable up to", "behind the clock", box=None, pad_edge=False)
    for name, found in known.items():
        behind = "" if found.frontier_ms is None else _distance(now_ms() - found.frontier_ms)
        table.add_row(name, store_state.show_since(found.since_ms), show_ms(found.frontier_ms), behind)
    return table


def _distance(behind_ms: int) -> str:
    return span(behind_ms) if behind_ms >= 0 else f"{span(-behind_ms)} ahead of it"
