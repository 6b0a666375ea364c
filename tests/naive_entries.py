"""The maps that tiles keep, as plain loops over values: what both engines' SQL must come to. Nothing of the product."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any


def text_of(value: Any) -> str:
    """A value as counted: strings as they are, integers in decimal, booleans in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def entries(kind: str, values: Sequence[Any], per_octave: int | None) -> str | None:
    """The text of one tile's map, sub-keys in the order of their bytes; None of nothing."""
    found: dict[str, int] = {}
    for value in values:
        if kind == "registers":
            register, rank = hashed(text_of(value))
            found[register] = max(rank, found.get(register, 0))
        else:
            sub_key = bucket(float(value), per_octave or 1) if kind == "buckets" else escaped(text_of(value))
            found[sub_key] = found.get(sub_key, 0) + 1
    text = ",".join(f"{found[sub_key]} {sub_key}" for sub_key in sorted(found, key=str.encode))
    return "!" if len(text) >= 100_000 else text or None


def latest(readings: Sequence[tuple[int, Any]], n: int) -> str | None:
    """The text of the last n (event time in ms, value) of one tile, but for doubles, whose text is Java's."""
    last = sorted(readings, key=lambda reading: (reading[0], reading[1].encode() if isinstance(reading[1], str) else reading[1]))[-n:]
    rows = sorted((escaped(text_of(value)).encode(), time) for time, value in last)
    return ",".join(f"{time} {text.decode()}" for text, time in rows) or None


def escaped(text: str) -> str:
    """Without commas."""
    return text.replace("\\", "\\s").replace(",", "\\c")


def hashed(text: str) -> tuple[str, int]:
    """Register and rank: the first 12 bits of MD5, and in the 52 that follow the place of the first bit that is set."""
    bits = f"{int.from_bytes(hashlib.md5(text.encode()).digest()[:8], 'big'):064b}"
    return f"{int(bits[:12], 2):03x}", (bits[12:] + "1").index("1") + 1


def bucket(value: float, per_octave: int) -> str:
    """Found by exact arithmetic alone."""
    if abs(value) < 2.0**-1022:
        return "z"
    mantissa, exponent = math.frexp(abs(value))
    within = math.floor((Fraction(mantissa) * 2 - 1) * per_octave)
    return f"{'p' if value > 0 else 'n'}{(exponent - 1) * per_octave + within}"
