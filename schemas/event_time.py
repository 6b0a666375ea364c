"""When an event may have happened: one rule for the gate, for history in files, and for what `publish` says beforehand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.times import show_ms

SECONDS = (100_000_000, 4_102_444_800)
"""Seconds from 1973 until 2100, `[from, to)`: read as milliseconds, times of January and February 1970."""

HINT = "; were {} given where milliseconds are declared?"


def plausible_as_seconds(times_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the times would be of our days if they were seconds."""
    plausible: NDArray[np.bool_] = (times_ms >= SECONDS[0]) & (times_ms < SECONDS[1])
    return plausible


def finer_unit(time_ms: int) -> str | None:
    """What a time is probably given in when it is far ahead: a finer unit in which it would be of our days."""
    for unit, per_s in (("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000)):
        if SECONDS[0] <= time_ms // per_s < SECONDS[1]:
            return unit
    return None


def too_early(field: str, time: str, earliest_ms: int) -> str:
    """Why an event before its source's earliest event time is refused; without its code."""
    return f"{field} {time} is before {show_ms(earliest_ms)}, the earliest_event_time of its source"
