"""An event as a tile of its own: what each kind of partial keeps of one event. The kernel merges the rest, as it merges tiles.

After Chronon's `prepare`: the one step of an aggregation that engines otherwise do in their SQL.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features.compiler.map_partial_sql import RANK_DIGITS, REGISTER_DIGITS
from features.plan import Partial, PartialKind

_SMALLEST_NORMAL = 2.0**-1022


def prepared(partial: Partial, events: pa.Table, at_ms: pa.Array[Any]) -> dict[str, pa.Array[Any]]:
    """The columns of a partial for n tiles of one event each.

    Args:
        partial: The partial.
        events: n events, the columns of their source.
        at_ms: int64[n], their event times.

    Returns:
        Column → n values of its type; null (0 for counts) where an event does not contribute.
    """
    values = _contributed(partial, events)
    there = values.is_valid()
    match partial.kind:
        case PartialKind.COUNT:
            return {partial.name: there.cast(pa.int64())}
        case PartialKind.SUM | PartialKind.MIN | PartialKind.MAX:
            return {partial.name: values}
        case PartialKind.FIRST | PartialKind.LAST:
            tie = {} if partial.tie is None else {f"{partial.name}__tie": _where(there, partial.tie.evaluate(events))}
            return {f"{partial.name}__at": _where(there, at_ms)} | tie | {partial.name: values}
        case PartialKind.MOMENTS:
            nothing = pc.multiply(values, pa.scalar(0.0))
            own = {"n": there.cast(pa.int64()), "pivot": values, "s1": nothing, "s2": nothing}
            return {f"{partial.name}__{part}": column for part, column in own.items()}
        case _:
            given = zip(values.to_pylist(), at_ms.to_numpy().tolist(), strict=True)
            entries = [None if value is None else _entry(partial, value, at) for value, at in given]
            return {partial.name: pa.array(entries, type=pa.string())}


def _contributed(partial: Partial, events: pa.Table) -> pa.Array[Any]:
    """The aggregated value, 1 where events are counted; null where an event does not contribute."""
    ones: Any = pa.array([1] * len(events), type=pa.int64())
    values = ones if partial.input is None else partial.input.evaluate(events)
    if partial.kind in (PartialKind.SUM, PartialKind.MOMENTS):
        values = values.cast(partial.type.arrow, safe=False)
    return values if partial.where is None else _where(partial.where.evaluate(events), values)


def _where(condition: Any, values: Any) -> pa.Array[Any]:
    """The values where a condition is TRUE, else null."""
    kept: pa.Array[Any] = pc.if_else(pc.fill_null(condition, False), values, pa.scalar(None, values.type))
    return kept


def _entry(partial: Partial, value: Any, at_ms: int) -> str:
    """What one value puts into a map: `<number> <sub-key>`, as `features.compiler.map_partial_sql` says it in SQL."""
    match partial.kind:
        case PartialKind.REGISTERS:
            return _register(_text(value))
        case PartialKind.BUCKETS:
            return f"1 {_bucket(value, partial.parameter or 1)}"
        case PartialKind.LATEST:
            return f"{at_ms} {_escaped(_text(value))}"
        case _:
            return f"1 {_escaped(_text(value))}"


def _text(value: Any) -> str:
    """Strings as they are, numbers as they read back, booleans in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\s").replace(",", "\\c")


def _register(text: str) -> str:
    """HyperLogLog's: the first digits of the hash choose the register, the place of the first bit that is set in the next ones is the rank."""
    digits = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    rest = int(digits[REGISTER_DIGITS : REGISTER_DIGITS + RANK_DIGITS], 16)
    return f"{4 * RANK_DIGITS + 1 - rest.bit_length()} {digits[:REGISTER_DIGITS]}"


def _bucket(value: float, per_octave: int) -> str:
    """With 2^e ≤ |x| < 2^(e + 1): e · n + floor((|x| / 2^e − 1) · n)."""
    if abs(value) < _SMALLEST_NORMAL:
        return "z"
    mantissa, exponent = math.frexp(abs(value))
    return f"{'p' if value > 0 else 'n'}{(exponent - 1) * per_octave + math.floor((2 * mantissa - 1) * per_octave)}"
