"""The oracle: what every feature means, as naive nested loops over raw events, in exact arithmetic.

It shares no code with the product: no tiles, no numpy, no SQL. Engines and the kernel are compared with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Event = Mapping[str, Any]
Pick = Callable[[Event], Any]

_INT64 = 1 << 64


@dataclass(frozen=True, kw_only=True)
class Question:
    """One feature: an aggregation, named as in the vocabulary, over one window, or all time (None); `value` None counts events.

    With a hop the window is the longer one that begins on the hop's clock: at midnight, at the full hour, counted from 1970 in UTC.
    """

    name: str
    aggregation: str
    window_ms: int | None
    hop_ms: int | None = None
    value: Pick | None = None
    where: Pick | None = None
    tie: Pick | None = None
    argument: Any = None  # rank of TopK, category, q


def answers(
    questions: Sequence[Question],
    events: Sequence[Event],
    *,
    time: str,
    belongs: Callable[[Event], bool],
    as_of_ms: int,
    tile_ms: int,
    delay_ms: int,
) -> dict[str, Any]:
    """The value of every question for one entity as of one time; events in any order."""
    boundary = (as_of_ms - delay_ms) // tile_ms * tile_ms
    return {
        question.name: aggregate(question, counted(question, [event for event in events if belongs(event)], time, boundary), time)
        for question in questions
    }


def counted(question: Question, events: Sequence[Event], time: str, boundary: int) -> list[Event]:
    """Those of an entity's events that a question is about, of a window that ends at a boundary."""
    seen = []
    for event in events:
        inside = event[time] < boundary and (question.window_ms is None or first_ms(question, boundary) <= event[time])
        wanted = question.aggregation == "Share" or question.where is None or question.where(event) is True
        filled = question.value is None or question.value(event) is not None
        if inside and wanted and filled:
            seen.append(event)
    return seen


def first_ms(question: Question, boundary: int) -> int:
    """The first millisecond of a window that ends at a boundary: its size before, or earlier by what is missing to a stroke of the hop's clock."""
    assert question.window_ms is not None
    first = boundary - question.window_ms
    return first if question.hop_ms is None else first - first % question.hop_ms


def aggregate(question: Question, events: Sequence[Event], time: str) -> Any:
    """One aggregation of the events that count."""
    if question.aggregation == "Count":
        return len(events)
    if question.aggregation == "Share":
        assert question.where is not None
        true = [event for event in events if question.where(event) is True]
        return len(true) / len(events) if events else None
    assert question.value is not None
    values = [question.value(event) for event in events]
    match question.aggregation:
        case "Sum":
            return total(values)
        case "CountDistinct":
            return len({as_text(value) for value in values})
        case "CategoryCounts":
            return [as_text(value) for value in values].count(question.argument)
    if not values:
        return None
    match question.aggregation:
        case "Mean":
            return as_double(exact_sum(values) / len(values))
        case "Min":
            return plain(min(values))
        case "Max":
            return plain(max(values))
        case "First":
            return plain(min(_ordered(question, events, time))[-1])
        case "Last":
            return plain(max(_ordered(question, events, time))[-1])
        case "TopK":
            texts = [as_text(value) for value in values]
            ordered = sorted(set(texts), key=lambda text: (-texts.count(text), text.encode()))
            return ordered[question.argument - 1] if question.argument <= len(ordered) else None
        case "LastN":
            newest = sorted(_ordered(question, events, time), reverse=True)
            return plain(newest[question.argument - 1][-1]) if question.argument <= len(newest) else None
        case "Quantile":
            return plain(float(sorted(values)[math.floor(question.argument * (len(values) - 1))]))
        case "Variance":
            variance = sample_variance(values)
            return None if variance is None else as_double(variance)
        case "StdDev":
            variance = sample_variance(values)
            return None if variance is None else math.sqrt(as_double(variance))
    raise AssertionError(question.aggregation)


def _ordered(question: Question, events: Sequence[Event], time: str) -> list[tuple[Any, ...]]:
    """(event time, declared tie with null smallest, value) of each event: first is the smallest, last the largest."""
    assert question.value is not None
    rows: list[tuple[Any, ...]] = []
    for event in events:
        tie = None if question.tie is None else question.tie(event)
        rows.append((event[time], tie is not None, 0 if tie is None else tie, question.value(event)))
    return rows


def total(values: Sequence[Any]) -> int | float:
    """A sum: integers wrap as 64-bit ones do, doubles are exactly rounded; 0 for nothing."""
    if all(isinstance(value, int) for value in values):
        wrapped: int = sum(values) % _INT64
        return wrapped - _INT64 if wrapped >= _INT64 // 2 else wrapped
    return as_double(exact_sum(values))


def exact_sum(values: Sequence[Any]) -> Fraction:
    """The sum without any rounding."""
    return sum((Fraction(value) for value in values), Fraction(0))


def sample_variance(values: Sequence[Any]) -> Fraction | None:
    """Σ(x − mean)² / (n − 1), exactly; null below two values."""
    if len(values) < 2:
        return None
    mean = exact_sum(values) / len(values)
    return sum(((Fraction(value) - mean) ** 2 for value in values), Fraction(0)) / (len(values) - 1)


def as_double(value: Fraction) -> float:
    """The nearest double; infinity beyond the largest."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def as_text(value: Any) -> str:
    """A value as TopK names it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def plain(value: Any) -> Any:
    """−0.0 as 0.0, everything else as it is."""
    return value + 0.0 if isinstance(value, float) else value


def without_repeats(events: Sequence[Event], *, id: str, time: str, fields: Sequence[str]) -> list[Event]:
    """Of the events with one id and one event time only the smallest copy, field by field in schema order, nulls first."""
    kept = []
    for i, event in enumerate(events):
        wins = True
        for j, other in enumerate(events):
            if i != j and event[id] == other[id] and event[time] == other[time]:
                mine, theirs = _copy_order(event, fields), _copy_order(other, fields)
                if theirs < mine or (theirs == mine and j < i):
                    wins = False
        if wins:
            kept.append(event)
    return kept


def _copy_order(event: Event, fields: Sequence[str]) -> list[tuple[Any, ...]]:
    return [(False, 0) if event[field] is None else (True, event[field]) for field in fields]


def in_time(event: Event, *, time: str, tile_ms: int, watermark_ms: int | None) -> bool:
    """Whether an event counts as served: its tile `[s, e)` was still open, e − 1 > watermark."""
    if watermark_ms is None:
        return True
    end = event[time] // tile_ms * tile_ms + tile_ms
    return bool(end - 1 > watermark_ms)
