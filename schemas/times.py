"""Moments as people write and read them; inside, all are milliseconds since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.errors import SettingError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


def show_ms(ms: int | None) -> str:
    """A time as users read it."""
    if ms is None:
        return "nothing yet"
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
