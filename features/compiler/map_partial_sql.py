r"""Partials that are maps (sub-key → int64), in SQL of both engines: what the sub-key of an event is, and the number kept for it.

The tile's column is text, `<number> <sub-key>` for each entry with commas between, so that it passes through every engine, topic and
store as any other string does; `features.kernel.map_partials` reads it. In sub-keys a backslash is written `\s` and a comma `\c`.
"""

from __future__ import annotations

from typing import Literal

from features.plan import Partial, PartialKind
from schemas.types import DataType

TOO_LARGE = "!"
"""In place of the entries where they would be more than `MOST_CHARACTERS`: what needs them is null, rather than the record too large for Kafka."""
MOST_CHARACTERS = 100_000

Dialect = Literal["flink", "spark"]

REGISTER_DIGITS = 3
"""Hexadecimal digits of the hash that choose a HyperLogLog register: 2^12 of them."""
RANK_DIGITS = 13
"""Those that follow, up to the 64th bit: their leading zeros and 1 are the rank."""


def sub_key_source(partial: Partial, dialect: Dialect) -> str:
    """What the sub-key is made of, for each event; null where it does not contribute. Evaluated once."""
    assert partial.input is not None
    match partial.kind:
        case PartialKind.REGISTERS:
            return f"MD5({_text(partial.input.type, partial.input.sql(dialect), dialect)})"
        case PartialKind.BUCKETS | PartialKind.LATEST:
            return partial.input.sql(dialect)
        case _:
            return _escaped(_text(partial.input.type, partial.input.sql(dialect), dialect), dialect)


def sub_key(partial: Partial, source: str, dialect: Dialect) -> str:
    """The sub-key, from a column of `sub_key_source`."""
    match partial.kind:
        case PartialKind.REGISTERS:
            return f"SUBSTRING({source}, 1, {REGISTER_DIGITS})"
        case PartialKind.BUCKETS:
            assert partial.parameter is not None
            return _bucket(source, partial.parameter, dialect)
        case PartialKind.LATEST:
            assert partial.input is not None
            return _escaped(_text(partial.input.type, source, dialect), dialect)
        case _:
            return source


def number(partial: Partial, source: str, dialect: Dialect) -> str:
    """The aggregate that is kept for each sub-key."""
    if partial.kind is not PartialKind.REGISTERS:
        return "COUNT(*)"
    rest = f"SUBSTRING({source}, {REGISTER_DIGITS + 1}, {RANK_DIGITS})"
    left = f"TRIM(LEADING '0' FROM {rest})"
    length = "CHAR_LENGTH" if dialect == "flink" else "LENGTH"
    zeros = f"CASE WHEN {left} >= '8' THEN 1 WHEN {left} >= '4' THEN 2 WHEN {left} >= '2' THEN 3 WHEN {left} >= '1' THEN 4 ELSE 1 END"
    return f"MAX({4 * RANK_DIGITS} - 4 * {length}({left}) + {zeros})"


def bounded(entries: str, characters: str) -> str:
    """The aggregate of all entries, or the sign that they are too many."""
    return f"CASE WHEN {characters} <= {MOST_CHARACTERS} THEN {entries} ELSE '{TOO_LARGE}' END"


def _text(type_: DataType, value: str, dialect: Dialect) -> str:
    """A value as text; of doubles it is Java's shortest that reads back as the same, in both engines."""
    match type_:
        case DataType.STRING:
            return value
        case DataType.BOOLEAN:
            return f"CASE WHEN ({value}) IS TRUE THEN 'true' WHEN ({value}) IS FALSE THEN 'false' END"
        case _:
            return f"CAST({value} AS STRING)"


def _escaped(text: str, dialect: Dialect) -> str:
    backslash, escape = ("'\\'", "'\\") if dialect == "flink" else ("'\\\\'", "'\\\\")
    return f"REPLACE(REPLACE({text}, {backslash}, {escape}s'), ',', {escape}c')"


def _bucket(value: str, per_octave: int, dialect: Dialect) -> str:
    """`p<i>`, `n<i>` or `z`: with 2^e ≤ |x| < 2^(e + 1), i = e · n + floor((|x| / 2^e − 1) · n) for n buckets in each octave.

    All of it is exact, since n and 2^e are powers of two, but for the logarithm that finds e, whose last bit is each engine's own. Where that
    makes e one too small or too large, |x| is next to a power of two, and the formula gives the same i.
    """
    d = "" if dialect == "flink" else "D"
    size = f"ABS({value})"
    octave = f"LEAST(CAST(FLOOR(LOG2({size})) AS INT), 1023)"
    within = f"CAST(FLOOR(({size} / POWER(2E0{d}, {octave}) - 1E0{d}) * {per_octave}E0{d}) AS INT)"
    sign = f"CASE WHEN {value} > 0E0{d} THEN 'p' ELSE 'n' END"
    return f"CASE WHEN {size} < 2.2250738585072014E-308{d} THEN 'z' ELSE {sign} || CAST({octave} * {per_octave} + {within} AS STRING) END"
