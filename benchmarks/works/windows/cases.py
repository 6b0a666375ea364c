"""Windows from an hour to 90 days: of each, how its tiles come into the store."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.busy.inputs import DAY, HOUR

CARDS = 20
WRITTEN = 26 * HOUR
"""Minutes whose tiles are written one by one and timed: with 26 ends of an hour among them, and one of a day, all that is merged counts with its share."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One longest window.

    Attributes:
        name: As results have it.
        view: Of the definitions.
        window: Its size in minutes.
        hop: Its hop in minutes; 1: it is exact.
        at_once: Minutes of the history that are brought into the store together.
        written: Minutes that are written one by one after it.
    """

    name: str
    view: str
    window: int
    hop: int = 1
    at_once: int = HOUR
    written: int = WRITTEN


def _dear(name: str, view: str, window: int) -> Case:
    """A write of one tile takes so long that the history comes by the week, and only two hours are written after it."""
    return Case(name=name, view=view, window=window, at_once=7 * DAY, written=2 * HOUR)


HOUR_EXACT = Case(name="1 hour", view="exact_1h", window=HOUR)
MONTH_HOPS = Case(name="30 days, hop 1 day", view="hops_30d", window=30 * DAY, hop=DAY)
CASES = (
    HOUR_EXACT,
    Case(name="3 hours", view="exact_3h", window=3 * HOUR),
    Case(name="1 day", view="exact_1d", window=DAY),
    _dear("7 days", "exact_7d", 7 * DAY),
    _dear("30 days", "exact_30d", 30 * DAY),
    _dear("90 days", "exact_90d", 90 * DAY),
    Case(name="1 day, hop 1 hour", view="hops_1d", window=DAY, hop=HOUR),
    Case(name="7 days, hop 1 day", view="hops_7d", window=7 * DAY, hop=DAY),
    MONTH_HOPS,
    Case(name="90 days, hop 1 day", view="hops_90d", window=90 * DAY, hop=DAY),
)
