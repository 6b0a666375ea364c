"""Moments as people write and read them; inside, all are milliseconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import SupportsInt

from schemas.errors import SettingError

YEAR_1_MS, YEAR_10000_MS = -62_135_596_800_000, 253_402_300_800_000
"""What calendars have, and records may hold: `[year 1, year 10000)`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR = re.compile(r"(?:19|20)\d\d")


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


def show_ms(ms: SupportsInt | None) -> str:
    """A time as users read it: ISO 8601 in UTC, or the number where no calendar has it."""
    if ms is None:
        return "nothing yet"
    if not YEAR_1_MS <= int(ms) < YEAR_10000_MS:
        return f"{int(ms)} ms"
    return (_EPOCH + timedelta(milliseconds=int(ms))).isoformat(timespec="milliseconds").replace("+00:00", "Z")
