"""How long a call takes: made again and again, each time with the next of its arguments."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

LEAST_CALLS = 100
"""Of the timed ones, whatever they take: for the last percentile."""


def timed(call: Callable[[Any], Any], arguments: Sequence[Any], seconds: float) -> tuple[dict[str, float], Any]:
    """Make calls for a fifth of the time, which do not count, and then for so long; where that is short, fewer than `LEAST_CALLS` if need be.

    Returns:
        The median and the last percentile of a call, in seconds; and the answer to the last of the arguments.
    """
    least = LEAST_CALLS if seconds >= 1 else 10
    _calls(call, arguments, seconds / 5, least // 5)
    gc.collect()
    took = sorted(_calls(call, arguments, seconds, least))
    return {"seconds": statistics.median(took), "p99_seconds": took[len(took) * 99 // 100]}, call(arguments[-1])


def _calls(call: Callable[[Any], Any], arguments: Sequence[Any], seconds: float, least: int) -> list[float]:
    took: list[float] = []
    until = time.perf_counter() + seconds
    while len(took) < least or time.perf_counter() < until:
        given = arguments[len(took) % len(arguments)]
        started = time.perf_counter()
        call(given)
        took.append(time.perf_counter() - started)
    return took
