"""Avro's logical types: which there are, what carries them, how times on the wire become milliseconds, and what no field of ours can hold.

https://avro.apache.org/docs/1.12.0/specification/#logical-types: one that is unknown, or not on a type that carries it, counts for nothing; the
underlying type is what is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

_CARRIERS = {
    "decimal": ("bytes", "fixed"),
    "big-decimal": ("bytes",),
    "uuid": ("string", "fixed"),
    "date": ("int",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "timestamp-nanos": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
    "local-timestamp-nanos": ("long",),
    "duration": ("fixed",),
}
_SIZES = {"uuid": 16, "duration": 12}
_MS = {"timestamp-millis": (1, 1), "timestamp-micros": (1, 1_000), "timestamp-nanos": (1, 1_000_000), "date": (86_400_000, 1)}
"""Of a time on the wire: milliseconds are the number times the first, divided by the second."""
MOMENTS = frozenset(_MS)
"""Those that a timestamp of ours can hold: finer ones are cut to milliseconds (towards the past), a date is its midnight in UTC."""
TIMES_OF_DAY = frozenset({"time-millis", "time-micros"})
"""Held as the whole number that they are, in their own unit."""
_LARGEST_PRECISION = 1_000

Whole = TypeVar("Whole", int, NDArray[np.int64])


def logical_type(kind: object) -> str | None:
    """The logical type of a parsed Avro type; None where there is none, or one that counts for nothing."""
    if not isinstance(kind, Mapping):
        return None
    name, carrier = kind.get("logicalType"), kind.get("type")
    if not isinstance(name, str) or carrier not in _CARRIERS.get(name, ()):
        return None
    if carrier == "fixed" and kind.get("size") != _SIZES.get(name, kind.get("size")):
        return None
    return None if name == "decimal" and decimal_digits(kind) is None else name


def decimal_digits(kind: Mapping[str, Any]) -> tuple[int, int] | None:
    """Precision and scale of a decimal; None when they are none."""
    precision, scale = kind.get("precision"), kind.get("scale", 0)
    if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision or not 0 < precision <= _LARGEST_PRECISION:
        return None
    if kind["type"] == "fixed" and precision > math.floor(math.log10(2) * (8 * int(kind["size"]) - 1)):
        return None
    return precision, scale


def to_ms(time: Whole, logical: str) -> Whole:
    """Milliseconds since the epoch of a time as the wire has it, one of `MOMENTS`; what is finer is cut towards the past."""
    up, down = _MS[logical]
    scaled = time * up if up > 1 else time
    return scaled // down if down > 1 else scaled


def from_ms(ms: int, logical: str) -> int:
    """The time as the wire has it.

    Raises:
        ValueError: A date that is not midnight in UTC.
    """
    up, down = _MS[logical]
    whole, rest = divmod(ms * down, up)
    if rest:
        raise ValueError(f"{ms} ms is no {logical}: a date is midnight in UTC")
    return whole


def uuid_text(octets: bytes) -> str:
    """The text of a UUID of 16 bytes."""
    return str(UUID(bytes=octets))


def refusal(kind: object) -> str | None:
    """Why a field of ours cannot be declared so; None when it can, or when the type is none of these."""
    name = logical_type(kind)
    if name is None or name in MOMENTS or name in TIMES_OF_DAY or name == "uuid":
        return None
    if name == "decimal":
        return "decimal, which no field holds; declare a double or a string: records that have it as decimal are read as that"
    if name.startswith("local-timestamp-"):
        return (
            f"{name}, a time in no known zone and so no moment; declare timestamp-{name.removeprefix('local-timestamp-')} if it is in UTC"
        )
    return f"{name}, which no field holds"
