"""Each event as a tile of its own, by what the kinds of partials say of one event; the kernel merges the rest, as it merges tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.columns.values import Bools, Int64s
from features.partials.partial import Partial


def prepared(partial: Partial, events: pa.Table, time_ms: Int64s) -> dict[str, Any]:
    """The columns of a partial for n tiles of one event each.

    Args:
        partial: The partial.
        events: n events, the columns of their source.
        time_ms: int64[n], their event times.

    Returns:
        Column → n values of its type; null where an event does not contribute.
    """
    counts = np.ones(len(events), dtype=np.bool_)
    values: Any = pa.nulls(len(events), pa.int64())
    if partial.where is not None:
        counts &= _true(partial.where.evaluate(events))
    if partial.input is not None:
        values = partial.input.evaluate(events)
        counts &= values.is_valid().to_numpy(zero_copy_only=False)
    mask: Any = pa.array(counts)
    tie = None if partial.tie is None else partial.tie.evaluate(events).filter(mask)
    found = partial.prepare(values.filter(mask), time_ms[counts], tie)
    place: Any = pa.array(np.cumsum(counts) - 1, mask=~counts)
    return {column.name: found[column.name].take(place).cast(column.type.arrow) for column in partial.columns}


def _true(condition: Any) -> Bools:
    return np.asarray(pc.fill_null(condition, False).to_numpy(zero_copy_only=False), dtype=np.bool_)
