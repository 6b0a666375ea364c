"""Moments as a test writes them, and as it reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.times import YEAR_1_MS, YEAR_10000_MS, instant_ms

Instant = datetime | str | int
"""A datetime, ISO 8601, or milliseconds since the epoch; in UTC unless it says otherwise."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms_of(instant: Instant) -> int:
    """Milliseconds since the epoch; what is finer is cut towards the past.

    Raises:
        SettingError: A text that is no time.
    """
    if isinstance(instant, datetime):
        return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
    return instant_ms(instant) if isinstance(instant, str) else instant


def datetime_of(ms: int | None) -> datetime | None:
    """The moment in UTC; None where there is none, or no calendar has it."""
    return None if ms is None or not YEAR_1_MS <= ms < YEAR_10000_MS else _EPOCH + timedelta(milliseconds=ms)
