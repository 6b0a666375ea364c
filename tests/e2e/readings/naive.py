"""What must come of a stream of readings: plain loops, nothing of the product."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.e2e.readings.stream import LATENESS_MS, Message, Reading

Tile = tuple[tuple[Any, ...], int]  # key values, start


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A reading as it came in, with the watermark then."""

    message: Message
    reading: Reading
    watermark_ms: int | None

    def counts(self, tile_ms: int) -> bool:
        """Whether it is on time for tiles of this size."""
        end = (self.reading["event_time"] // tile_ms + 1) * tile_ms
        return self.watermark_ms is None or end - 1 > self.watermark_ms


def bounds(stream: Iterable[Message]) -> list[tuple[Message, int]]:
    """Every reading, each with what its watermark cannot exceed: the newest time that its own partition has told, less the lateness."""
    high: dict[int, int] = {}
    found = []
    for message in stream:
        told = message.marks if message.reading is None else message.reading["event_time"]
        if told is not None:
            high[message.partition] = max(told - LATENESS_MS, high.get(message.partition, told - LATENESS_MS))
        if message.reading is not None:
            found.append((message, high[message.partition]))
    return found


def tiles(
    came: Iterable[Arrival], *, keys: tuple[str, ...], tile_ms: int, once: bool, wanted: Callable[[Reading], bool]
) -> dict[Tile, list[Reading]]:
    """The readings of every tile: on time, repeats of id and event time once (the smallest by all fields, nulls first), of the view."""
    readings = [arrival.reading for arrival in came if arrival.counts(tile_ms)]
    if once:
        copies = defaultdict(list)
        for reading in readings:
            copies[reading["reading_id"], reading["event_time"]].append(reading)
        readings = [min(same, key=ordered) for same in copies.values()]
    found = defaultdict(list)
    for reading in readings:
        key = tuple(reading[name] for name in keys)
        if None not in key and wanted(reading):
            found[key, reading["event_time"] // tile_ms * tile_ms].append(reading)
    return found


def ordered(reading: Reading) -> list[tuple[bool, Any]]:
    """By all fields in order, nulls first, strings by their UTF-8 bytes."""
    return [(value is not None, comparable(value)) for value in reading.values()]


def comparable(value: Any) -> Any:
    """A value as engines compare it."""
    if value is None:
        return 0
    return value.encode() if isinstance(value, str) else value


def expected(kind: str, readings: list[Reading], field: str | None, tie: str | None, where: str | None) -> tuple[Any, ...]:
    """The columns of one partial of a tile; of moments: their number and variance."""
    seen = [reading for reading in readings if where is None or reading[where]]
    if field is None:
        return (len(seen),)
    seen = [reading for reading in seen if reading[field] is not None]
    values = [reading[field] for reading in seen]
    match kind:
        case "count":
            return (len(values),)
        case "moments":
            numbers = [float(value) for value in values]
            return (len(values), statistics.variance(numbers) if len(values) > 1 else None)
        case "sum" if not values:
            return (None,)
        case "sum" if isinstance(values[0], int):
            return ((sum(values) + (1 << 63)) % (1 << 64) - (1 << 63),)
        case "sum":
            return (math.fsum(values),)
    if not values:
        return (None, None) if tie is None and kind in ("first", "last") else (None, None, None) if tie is not None else (None,)
    choose = min if kind in ("min", "first") else max
    if kind in ("min", "max"):
        return (choose(values, key=comparable),)
    names = ("event_time", *([] if tie is None else [tie]), field)
    best = choose(seen, key=lambda reading: [(reading[name] is not None, comparable(reading[name])) for name in names])
    return tuple(best[name] for name in names)
