"""Durations as whole milliseconds, and how they are shown."""

from __future__ import annotations

from datetime import timedelta

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def milliseconds(duration: timedelta) -> int | None:
    """The whole milliseconds of a duration; None if it has a fraction."""
    whole, rest = divmod(duration, timedelta(milliseconds=1))
    return None if rest else whole


def show(duration_ms: int) -> str:
    """A duration as people write it, e.g. `1h30m`."""
    if duration_ms == 0:
        return "0s"
    text, rest = "-" if duration_ms < 0 else "", abs(duration_ms)
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text
