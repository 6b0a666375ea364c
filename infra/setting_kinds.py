"""What values of settings are: how each kind is read, and what is said to be allowed where it cannot be."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from schemas.masking import FILE, Secret

_LEAST_HANG_MS = 10_000
_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+)\s*(ms|s|m|h|d)")
_BYTES = {"": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_SIZE = re.compile(r"(\d+)\s*(KB|MB|GB|)")
_LARGEST_PORT = 65_535
_ADDRESS = re.compile(r"[^\s:,/]+:\d{1,5}(,[^\s:,/]+:\d{1,5})*")


class WrongValueError(ValueError):
    """What a value should have been; the caller adds where it came from."""


def duration(value: object) -> int:
    """A duration, in ms."""
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise WrongValueError("a duration such as 500ms, 90s, 5m, 36h or 1d")
    return int(match[1]) * _DURATION_MS[match[2]]


def optional_duration(value: object) -> int | None:
    """A duration, in ms, or None for `never`."""
    return None if str(value).strip() == "never" else _long_duration(value)


def _long_duration(value: object) -> int:
    try:
        return duration(value)
    except WrongValueError:
        raise WrongValueError("a duration such as 90s, 36h or 30d, or never") from None


def positive_duration(value: object) -> int:
    """A duration above 0, in ms."""
    milliseconds = duration(value)
    if milliseconds == 0:
        raise WrongValueError("a duration above 0, such as 500ms or 10s")
    return milliseconds


def hang_timeout(value: object) -> int:
    """A duration, in ms, in which several heartbeats come."""
    milliseconds = duration(value)
    if milliseconds < _LEAST_HANG_MS:
        raise WrongValueError("a duration of 10s or more: heartbeats come every 2 s, and garbage is collected meanwhile")
    return milliseconds


def size(value: object) -> int:
    """A size above 0, in bytes."""
    match = _SIZE.fullmatch(str(value).strip().upper())
    if match is None or int(match[1]) == 0:
        raise WrongValueError("a size above 0, such as 1048576 or 1MB")
    return int(match[1]) * _BYTES[match[2]]


def whole(low: int, high: int) -> Callable[[object], int]:
    """Whole numbers of a range."""

    def parse(value: object) -> int:
        text = str(value).strip()
        if not text.isdecimal() or not low <= int(text) <= high:
            raise WrongValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def choice(*allowed: str) -> Callable[[object], str]:
    """One of some words."""

    def parse(value: object) -> str:
        if value not in allowed:
            raise WrongValueError(" or ".join(allowed))
        return str(value)

    return parse


def servers(value: object) -> str:
    """Addresses of Kafka's brokers."""
    known = isinstance(value, str) and _ADDRESS.fullmatch(value.strip())
    if not isinstance(value, str) or not known or any(int(server.rpartition(":")[2]) > _LARGEST_PORT for server in value.split(",")):
        raise WrongValueError("host:port, or several with commas between")
    return value.strip()


def url(*schemes: str, bare: bool = False) -> Callable[[object], str]:
    """URLs of these schemes; bare ones have no user."""

    def parse(value: object) -> str:
        expected = WrongValueError(f"a URL such as {schemes[0]}://host:port")
        if not isinstance(value, str) or not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise expected
        if bare and "@" in value:
            raise WrongValueError(f"a URL such as {schemes[0]}://host:port, without user and password, which nothing here would send")
        try:
            parts = urlsplit(value)
            if not parts.hostname or parts.port == 0:
                raise expected
        except ValueError:  # a port that is none, or half an IPv6 address
            raise expected from None
        return value.rstrip("/")

    return parse


def store(value: object) -> str:
    """Of the online store; `inference.online.address` reads the rest, and nothing of it is changed here."""
    if not isinstance(value, str) or not value.strip().startswith(("redis://", "rediss://", "unix://")):
        raise WrongValueError("a URL such as redis://host:port, or with rediss:// or unix://")
    return value.strip()


def kept(parse: Callable[[object], str]) -> Callable[[object], str]:
    """What may hold a password, and may be in a file for that."""

    def of_file(value: object) -> str:
        if not isinstance(value, str) or not value.startswith(FILE):
            return parse(value)
        if not Path(value.removeprefix(FILE)).is_absolute():
            raise WrongValueError(f"{FILE} and the whole path of the file that holds it")
        return value

    return of_file


def secret(value: object) -> Secret:
    """What nobody is shown."""
    return Secret(str(value))


def path(value: object) -> Path:
    """A path, relative or not."""
    if not isinstance(value, str):
        raise WrongValueError("a path")
    return Path(value).expanduser()
