"""`tidemark frontier [VIEW] [--wait TIME]`: up to when the tiles of each view are readable online."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from features.catalog import load, view_named
from inference.online.connection import connect
from inference.online.frontier import Frontiers
from inference.online.serving import served
from infra.settings import Settings
from schemas.errors import ServiceError, SettingError
from schemas.wire import now_ms
from schemas.wording import moment, span

_POLL_S = 0.05
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR = re.compile(r"(?:19|20)\d\d")


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
    now = frontiers.read(names) if target is None else wait_for(lambda: frontiers.read(names), target, timeout_s=timeout)
    Console(soft_wrap=True).print(_table(now))


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


def instant_ms(text: str) -> int:
    """A time as the user writes it: ISO 8601 (UTC unless it says otherwise), or ms since the epoch.

    Raises:
        SettingError: It is neither.
    """
    try:
        if _YEAR.fullmatch(text):
            raise ValueError(text)  # a day of it is meant, not a moment of January 1970
        read = _EPOCH + timedelta(milliseconds=int(text)) if text.lstrip("-").isdecimal() else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise SettingError(f"{text!r} is not a time; allowed: 2013-10-01T12:00Z, 2013-10-01, or milliseconds since the epoch") from None
    return ((read if read.tzinfo else read.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)


def _table(frontiers_ms: Mapping[str, int | None]) -> Table:
    table = Table("view", "readable up to", "behind the clock", box=None, pad_edge=False)
    for name, frontier in frontiers_ms.items():
        table.add_row(name, show_ms(frontier), "" if frontier is None else _distance(now_ms() - frontier))
    return table


def _distance(behind_ms: int) -> str:
    return span(behind_ms) if behind_ms >= 0 else f"{span(-behind_ms)} ahead of it"


def show_ms(ms: int | None) -> str:
    """A time as users read it."""
    if ms is None:
        return "nothing yet"
    return moment(ms)
