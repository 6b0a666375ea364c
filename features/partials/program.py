"""A view's features as numbers, for compiled code: where in a record each partial is, what is merged over which window, and what becomes of it.

`Merging`, made of the words that partials and finishes name. Found when a plan is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from features.columns.column import Column
from features.columns.record import record_of
from features.columns.values import Int64s
from features.partials.finish import Finished
from features.partials.merging import Merging
from features.partials.opcodes import FinishCode
from features.partials.partial import Partial
from features.window import Sliding
from schemas.types import DataType


class Kind(IntEnum):
    """What a number is."""

    INT = 0
    DOUBLE = 1
    BYTE = 2
    """0 is false."""


_KINDS = {DataType.INT64: Kind.INT, DataType.TIMESTAMP: Kind.INT, DataType.FLOAT64: Kind.DOUBLE, DataType.BOOLEAN: Kind.BYTE}
CELLS = 5
"""Where in a merge its columns are, two numbers each."""
_MOST_CELLS = 4


@dataclass(frozen=True, kw_only=True)
class Program:
    """What compiled code runs for a view.

    Attributes:
        record: A tile as the store keeps it.
        levels_ms: int64[levels].
        shape: int64[2], the width of a record and where its null bitmap is.
        windows: int64[windows, 3], which of `spans` each begins with the first of, from and to, and how far it reaches.
        spans: int64[spans, 2], size and hop.
        merges: int64[merges, 13], code, window, kind of the value, kind of the tie (−1: none), whether tiles may be many; then of up to four columns where
            in the record each is, and the number of its null bit.
        finishes: int64[features, 5], code, the merges that it reads, kind of the first of them, kind of the value.
    """

    record: np.dtype[Any]
    levels_ms: Int64s
    shape: Int64s
    windows: Int64s
    spans: Int64s
    merges: Int64s
    finishes: Int64s

    @classmethod
    def of(
        cls,
        merging: Merging,
        *,
        columns: Sequence[Column],
        features: Sequence[Finished],
        windows: Sequence[Sequence[Sliding]],
        bounded: Sequence[bool],
        levels_ms: Sequence[int],
    ) -> Program | None:
        """For the features of a view; None where compiled code cannot do all of them.

        Args:
            merging: Of the features.
            columns: Of a tile.
            features: In order.
            windows: The view's: what each is all of; nothing where it is of all time.
            bounded: Of each, whether its tiles may be many, merged into one.
            levels_ms: The view's.
        """
        record = record_of(columns)
        if record is None or not all(windows) or any(partial.compiled is None for partial, _ in merging.merges):
            return None
        cells = {column.name: (_offset(record, f"c{number}"), number) for number, column in enumerate(columns)}
        merges = [_merge(partial, window, bounded[window], cells) for partial, window in merging.merges]
        places = {feature.name: group.places for group in merging.groups for feature in group.features}
        finishes = [_finish(feature, places[feature.name], merges) for feature in features]
        if any(finish is None for finish in finishes):
            return None
        spans = [(span.size_ms, span.hop_ms) for window in windows for span in window]
        ends = np.cumsum([len(window) for window in windows])
        reach = [max(span.reach_ms for span in window) for window in windows]
        own = [(end - len(window), end, far) for window, end, far in zip(windows, ends.tolist(), reach, strict=True)]
        return cls(
            record=record,
            levels_ms=np.array(levels_ms, dtype=np.int64),
            shape=np.array([record.itemsize, _offset(record, "nulls")], dtype=np.int64),
            windows=np.array(own, dtype=np.int64),
            spans=np.array(spans, dtype=np.int64),
            merges=np.array(merges, dtype=np.int64).reshape(len(merges), CELLS + 2 * _MOST_CELLS),
            finishes=np.array(finishes, dtype=np.int64).reshape(len(finishes), 5),
        )


def _offset(record: np.dtype[Any], field: str) -> int:
    assert record.fields is not None
    return int(record.fields[field][1])


def _merge(partial: Partial, window: int, bounded: bool, cells: dict[str, tuple[int, int]]) -> tuple[int, ...]:
    assert partial.compiled is not None
    tie = -1 if partial.tie is None else _KINDS[partial.tie.type]
    own = [cells[column.name] for column in partial.columns]
    own += [(-1, -1)] * (_MOST_CELLS - len(own))
    return (partial.compiled, window, _KINDS[partial.type], tie, bounded, *(number for cell in own for number in cell))


def _finish(feature: Finished, places: Sequence[int], merges: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    code, out = feature.finish.compiled, _KINDS[feature.type]
    if code is None:
        return None
    kind = merges[places[0]][2]
    if code is FinishCode.VALUE and kind != out and (kind, out) != (Kind.INT, Kind.DOUBLE):
        return None
    return (code, places[0], places[-1], kind, out)
