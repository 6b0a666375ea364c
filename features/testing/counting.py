"""Which of a source's events count in a view: on time for their tile, and once. The same decisions as `features.compiler.flink` writes in SQL."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.values import Bools, Int64s
from features.plan import SourcePlan, ViewPlan
from features.testing.gate import Checked


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a view makes of a source's events.

    Attributes:
        events: Those that count.
        late: int64[k], which rows had a tile that had ended at or before the watermark.
        repeats: int64[k], which rows were on time, of an id and event time that another row is counted for.
    """

    events: pa.Table
    late: Int64s
    repeats: Int64s


def counted(view: ViewPlan, checked: Checked) -> Counted:
    """Judge each event, in the order of arrival."""
    times = times_ms(checked.events, view.source)
    late = times // view.tile_ms * view.tile_ms + view.tile_ms - 1 <= checked.watermark_ms
    repeated = _repeated(view.source, checked.events, times, ~late)
    return Counted(
        events=checked.events.filter(pa.array(~late & ~repeated)),
        late=checked.place[late],
        repeats=checked.place[repeated],
    )


def times_ms(events: pa.Table, source: SourcePlan) -> Int64s:
    """Event times, int64 ms since the epoch."""
    whole: Any = events.column(source.event_time).cast(pa.int64())
    times: Int64s = whole.to_numpy()
    return times


def _repeated(source: SourcePlan, events: pa.Table, times: Int64s, on_time: Bools) -> Bools:
    """Of the copies of one id and event time all but the smallest: by every other field in schema order, nulls first."""
    repeated = np.zeros(len(times), dtype=np.bool_)
    if source.id is None or source.dedupe_ms is None:
        return repeated
    copies: dict[tuple[Any, int], list[int]] = defaultdict(list)
    for place, (id_, time) in enumerate(zip(events.column(source.id).to_pylist(), times.tolist(), strict=True)):
        if on_time[place]:
            copies[id_, time].append(place)
    others = [name for name in source.columns if name not in (source.id, source.event_time)]
    for places in copies.values():
        if len(places) > 1:
            rows = events.select(others).take(pa.array(places)).to_pylist()
            kept = min(range(len(places)), key=lambda copy: [_ordered(rows[copy][name]) for name in others])
            repeated[[place for copy, place in enumerate(places) if copy != kept]] = True
    return repeated


def _ordered(value: Any) -> tuple[Any, ...]:
    """As both engines order: null, then values, of text the UTF-8 bytes, NaN behind all numbers."""
    if value is None:
        return (0,)
    return (1, value != value, value.encode() if isinstance(value, str) else value)
