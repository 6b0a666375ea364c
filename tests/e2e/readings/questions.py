"""What the features of the readings mean, said again for the oracle; nothing of the product."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from tests.oracle import Question

_MINUTE_MS = 60_000
_EVER = 1 << 40

Pick = Callable[[Any], Any]
valid: Pick = itemgetter("valid")


def _question(
    name: str,
    aggregation: str,
    field: str | None = None,
    minutes: int = 1,
    *,
    where: bool = False,
    tie: str | None = None,
    argument: Any = None,
    hop: int | None = None,
) -> Question:
    return Question(
        name=name,
        aggregation=aggregation,
        window_ms=minutes * _MINUTE_MS,
        hop_ms=None if hop is None else hop * _MINUTE_MS,
        value=None if field is None else itemgetter(field),
        where=valid if where else None,
        tie=None if tie is None else itemgetter(tie),
        argument=argument,
    )


LEVELS = (
    _question("readings", "Count"),
    _question("with_steps", "Count", "steps"),
    _question("valid", "Count", minutes=4, where=True),
    _question("level_sum", "Sum", "level", 4),
    _question("steps_sum", "Sum", "steps"),
    _question("level_mean", "Mean", "level", 4, where=True),
    _question("steps_min", "Min", "steps"),
    _question("name_max", "Max", "offset", 4),
    _question("level_variance", "Variance", "level", 4),
    _question("steps_deviation", "StdDev", "steps", 4, where=True),
    _question("level_first", "First", "level"),
    _question("name_last", "Last", "offset", 4, tie="steps"),
    _question("valid_share", "Share", minutes=4, where=True),
    *(_question(f"name_top_{rank}", "TopK", "offset", 4, where=True, argument=rank) for rank in (1, 2, 3)),
    _question("names_none", "CategoryCounts", "offset", 4, argument=""),
    _question("names_a", "CategoryCounts", "offset", 4, argument="a"),
    _question("room_top_1", "TopK", "room", argument=1),
    _question("readings_distinct", "CountDistinct", "reading_id", 4),
    _question("valid_distinct", "CountDistinct", "valid"),
    *(_question(f"level_last_{rank}", "LastN", "level", 4, argument=rank) for rank in (1, 2)),
    *(_question(f"name_latest_{rank}", "LastN", "offset", 4, where=True, argument=rank) for rank in (1, 2, 3)),
    _question("level_p95", "Quantile", "level", 4, argument=0.95),
    _question("readings_ever", "Count", minutes=_EVER),
    _question("level_max_ever", "Max", "level", _EVER, where=True),
    _question("steps_median", "Quantile", "steps", where=True, argument=0.5),
)
PLACES = (
    _question("place_readings", "Count"),
    _question("place_level_max", "Max", "level"),
    _question("place_warmth_max", "Max", "warmth"),
    _question("place_draught_sum", "Sum", "draught"),
    _question("place_readings_hops", "Count", minutes=4, hop=2),
    _question("place_level_max_hops", "Max", "level", 2, hop=1),
    _question("place_level_mean_hops", "Mean", "level", 4, hop=2),
    _question("place_name_last_hops", "Last", "offset", 4, tie="steps", hop=2),
    _question("place_name_top_hops_1", "TopK", "offset", 4, argument=1, hop=2),
    _question("place_names_distinct_hops", "CountDistinct", "offset", 4, hop=1),
)

ACCURACY = {"level_p95": 0.01, "steps_median": 0.001}
"""Of the quantiles: the relative error that their definitions allow."""
