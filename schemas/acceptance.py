"""What makes a record acceptable, whoever holds it: one rule for each way to break it, for columns in numpy and in SQL.

The gate of the stream, readers of files and Spark ask here. That an event is too far ahead of the clock is the gate's alone: it is another
clock later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.field import Field
from schemas.times import YEAR_1_MS, YEAR_10000_MS, show_ms
from schemas.types import DataType

_LARGEST = 1.7976931348623157e308
_LEAST_32, _END_32 = -(1 << 31), 1 << 31


class Code(StrEnum):
    """Why a record is refused, as the gate's reasons begin."""

    MISSING = "missing"
    NON_FINITE = "non-finite"
    NOT_32_BITS = "wrong-type"
    OUT_OF_RANGE = "out-of-range"
    TOO_EARLY = "too-early"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One way to break what a field allows.

    Attributes:
        field: The field.
        code: What is wrong.
        reason: The same for people, without the value.
        breaks: Which of n values break it, bool[n], from the values (whole numbers, of instants in ms; doubles) and which of them are not null.
        sql: The same as a condition that is never null, with `{value}` for the number; engines that order NaN above all numbers.
    """

    field: str
    code: Code
    reason: str
    breaks: Callable[[NDArray[Any], NDArray[np.bool_]], NDArray[np.bool_]]
    sql: str


def rules(fields: Iterable[Field], *, event_time: str, earliest_ms: int | None, required: Collection[str] = ()) -> tuple[Rule, ...]:
    """All rules of a schema, in the order of its fields.

    Args:
        fields: Of the schema.
        event_time: The source's field of event time.
        earliest_ms: No event is earlier; None: the year 1.
        required: Fields that may not be null whatever the schema says.
    """
    return tuple(rule for field in fields for rule in _of(field, earliest_ms if field.name == event_time else None, field.name in required))


def _of(field: Field, earliest_ms: int | None, required: bool) -> Iterable[Rule]:
    name = field.name
    if required or not field.nullable:
        yield Rule(field=name, code=Code.MISSING, reason=f"{name} is null", breaks=lambda _, present: ~present, sql="{value} IS NULL")
    if field.type is DataType.FLOAT64 and not field.non_finite_allowed:
        yield Rule(
            field=name,
            code=Code.NON_FINITE,
            reason=f"{name} is not finite",
            breaks=lambda values, present: present & ~np.isfinite(values),
            sql=f"COALESCE(ABS({{value}}) > {_LARGEST!r}D, FALSE)",
        )
    if field.is_32_bits and field.type is DataType.INT64:
        yield _within(name, Code.NOT_32_BITS, f"{name} is no 32-bit integer", _LEAST_32, _END_32)
    if field.type is DataType.TIMESTAMP:
        yield _within(name, Code.OUT_OF_RANGE, f"{name} is not in the years 1 to 9999", YEAR_1_MS, YEAR_10000_MS)
    if earliest_ms is not None:
        yield Rule(
            field=name,
            code=Code.TOO_EARLY,
            reason=f"{name} is before {show_ms(earliest_ms)}, the source's earliest_event_time",
            breaks=lambda values, present: present & (values < earliest_ms),
            sql=f"COALESCE({{value}} < {earliest_ms}L, FALSE)",
        )


def _within(name: str, code: Code, reason: str, low: int, end: int) -> Rule:
    """Values in `[low, end)` are allowed."""
    return Rule(
        field=name,
        code=code,
        reason=reason,
        breaks=lambda values, present: present & ((values < low) | (values >= end)),
        sql=f"COALESCE({{value}} < {low}L OR {{value}} >= {end}L, FALSE)",
    )
