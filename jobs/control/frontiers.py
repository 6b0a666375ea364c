"""Waiting for frontiers, and what open transactions hold them back by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from infra.settings import Settings
from jobs.kafka import admin, open_transactions
from jobs.kafka.committed import End, Place
from jobs.kafka.connection import Connection
from schemas.errors import ServiceError
from schemas.times import show_ms
from schemas.wording import span

_POLL_S = 0.05


def wait_or_tell(
    settings: Settings, topics_: Iterable[str], read: Callable[[], Mapping[str, int | None]], target_ms: int, *, timeout_s: float
) -> None:
    """As `wait_for`; where a transaction stood open all the while, that is the reason, and told. Others come and go."""
    before = undecided(settings, topics_)
    try:
        wait_for(read, target_ms, timeout_s=timeout_s)
    except ServiceError as fault:
        after = undecided(settings, topics_)
        lines = held({place: end for place, end in after.items() if place in before and before[place].decided == end.decided})
        raise ServiceError("; ".join([str(fault), *lines])) from fault


def held(undecided: Mapping[Place, End]) -> list[str]:
    """What open transactions hold back, a line for each partition."""
    return [f"{open_transactions.held(place, end)}, and event time with them" for place, end in sorted(undecided.items())]


def undecided(settings: Settings, names: Iterable[str]) -> Mapping[Place, End]:
    """Nothing where Kafka does not tell: frontiers are the store's, and known without it."""
    try:
        return admin.undecided(Connection.of(settings), names)
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
