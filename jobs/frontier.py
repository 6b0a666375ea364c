"""`tidemark frontier [VIEW] [--wait TIME]`: up to when the tiles of each view are readable online."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from features.catalog import load, view_named
from inference.online.connection import connect
from inference.online.frontier import NEVER_MS, Completeness, Frontiers
from inference.online.serving import served
from infra.settings import Settings
from schemas.errors import ServiceError, SettingError

_POLL_S = 0.05
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def command(
    view: Annotated[str | None, typer.Argument(help="Only this feature view")] = None,
    wait: Annotated[
        str | None, typer.Option(help="Return when the frontier has reached this time, e.g. 2013-10-01T12:00Z", metavar="TIME")
    ] = None,
    timeout: Annotated[float, typer.Option(help="How long to wait, in seconds")] = 60.0,
) -> None:
    """Say up to when views are readable online, or wait until they are that far."""
    target = None if wait is None else instant_ms(wait)
    from jobs import store_state  # it reads topics, and what reads topics reads times as the user writes them

    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    names = sorted(plan.views) if view is None else [view_named(plan, view, where="frontier: ").name]
    redis = connect(settings.redis_url)
    frontiers = Frontiers(redis, project=served(redis).project)
    if target is not None:
        wait_for(lambda: frontiers.read(names), target, timeout_s=timeout)
    known = frontiers.known(names)
    Console(soft_wrap=True).print(_table(known))
    for line in store_state.problems(settings):
        print(f"online store: {line}")


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
                f"frontier: not at {show_ms(target_ms)} after {timeout_s:g} s: {where}; see `tidemark jobs` for features and materialize"
            )
        time.sleep(_POLL_S)


def instant_ms(text: str) -> int:
    """A time as the user writes it: ISO 8601 (UTC unless it says otherwise), or ms since the epoch.

    Raises:
        SettingError: It is neither.
    """
    if text.lstrip("-").isdecimal():
        return int(text)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(f"{text!r} is not a time; allowed: 2013-10-01T12:00Z, 2013-10-01, or milliseconds since the epoch") from None
    return ((read if read.tzinfo else read.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)


def _table(known: Mapping[str, Completeness]) -> Table:
    table = Table("view", "complete since", "readable up to", "behind the clock", box=None, pad_edge=False)
    now = datetime.now(UTC)
    for name, found in known.items():
        frontier = found.frontier_ms
        behind = "" if frontier is None else str(now - _EPOCH - timedelta(milliseconds=frontier)).partition(".")[0]
        table.add_row(name, show_since(found.since_ms), show_ms(frontier), behind)
    return table


def show_since(ms: int | None) -> str:
    """Since when a view is complete, as users read it."""
    return "the beginning" if ms is None else "no time yet" if ms == NEVER_MS else show_ms(ms)


def show_ms(ms: int | None) -> str:
    """A time as users read it."""
    if ms is None:
        return "nothing yet"
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
