"""Pieces of Flink SQL as text: literals, intervals, arithmetic on milliseconds."""

from __future__ import annotations

from collections.abc import Mapping

from features.sql_text import quote


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


def interval(milliseconds: int) -> str:
    """A day-time interval literal, exact to the millisecond."""
    for unit, size in (("HOUR", 3_600_000), ("MINUTE", 60_000), ("SECOND", 1_000)):
        count, rest = divmod(milliseconds, size)
        if not rest and count < 100:  # two digits are what a unit takes without a precision
            return f"INTERVAL '{count}' {unit}"
    seconds, rest = divmod(milliseconds, 1_000)
    minutes, hours = seconds // 60 % 60, seconds // 3_600 % 24
    return f"INTERVAL '{seconds // 86_400} {hours:02}:{minutes:02}:{seconds % 60:02}.{rest:03}' DAY(3) TO SECOND(3)"


def with_options(options: Mapping[str, str]) -> str:
    """The options of a table, a line each."""
    return ",\n".join(f"  {text(name)} = {text(value)}" for name, value in options.items())


def tumble(relation: str, time: str, tile_ms: int) -> str:
    """A relation cut into tiles by one of its times."""
    return f"TABLE(TUMBLE(TABLE {quote(relation)}, DESCRIPTOR({quote(time)}), {interval(tile_ms)}))"


def milliseconds(timestamp: str) -> str:
    """A timestamp from 1970 on as BIGINT ms; Flink has no cast for it."""
    return f"(EXTRACT(EPOCH FROM {timestamp}) * 1000 + EXTRACT(MILLISECOND FROM {timestamp}))"


def floor(expression: str, unit_ms: int) -> str:
    """Down to a multiple, before 1970 too: MOD has the sign of its dividend."""
    return f"({expression} - MOD(MOD({expression}, {unit_ms}) + {unit_ms}, {unit_ms}))"
