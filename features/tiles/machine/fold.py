"""Windows merged and finished, row by row."""

from __future__ import annotations

import numpy as np

from features.columns.values import Bools, Bytes, Doubles, Int64s
from features.partials.opcodes import FinishCode
from features.partials.program import Kind
from features.tiles.machine.merge import merge_window
from features.tiles.machine.moments import spread
from features.tiles.machine.windows import find
from schemas.machine_code import compiled

_VALUE = int(FinishCode.VALUE)
_RATIO = int(FinishCode.RATIO)
_VARIANCE = int(FinishCode.VARIANCE)
_DOUBLE = int(Kind.DOUBLE)
_BYTE = int(Kind.BYTE)
_LEAST = -(1 << 63)
_MOST = (1 << 63) - 1


@compiled()
def fold(
    data: Bytes,
    begin: Int64s,
    end: Int64s,
    merged: Int64s,
    owner: Int64s,
    boundary: Int64s,
    levels: Int64s,
    shape: Int64s,
    windows: Int64s,
    spans: Int64s,
    merges: Int64s,
    finishes: Int64s,
    counts: Int64s,
    needed: Int64s,
    out: Int64s,
    out_doubles: Doubles,
    valid: Bools,
) -> None:
    """Write the value of every feature for every row.

    Args:
        data: Of `RecordTiles`, and so the next.
        begin: int64[levels, entities].
        end: int64[levels, entities].
        merged: int64[entities].
        owner: int64[rows], the entity of each; −1 for none.
        boundary: int64[rows], the end of its windows.
        levels: Of the view's `Program`, and so the next.
        shape: int64[2].
        windows: int64[windows, 3].
        spans: int64[spans, 2].
        merges: int64[merges, 13].
        finishes: int64[features, 5].
        counts: int64[rows], becomes how many records the first window has.
        needed: int64[levels, rows], becomes from when on windows need tiles of each level, as `features.kernel.needed` says.
        out: int64[features, rows], becomes the values; 0 where null.
        out_doubles: The same memory, as float64.
        valid: bool[features, rows], becomes whether each is there.
    """
    most = 0
    for entity in range(begin.shape[1]):
        own = 0
        for level in range(begin.shape[0]):
            own += (end[level, entity] - begin[level, entity]) // shape[0]
        most = max(most, own)
    numbers, starts, work = np.empty(most, np.int64), np.empty(most, np.int64), np.empty((5, most))
    tails, heads = np.empty(begin.shape[0], np.int64), np.empty(begin.shape[0], np.int64)
    places, many = np.empty((windows.shape[0], 2 * begin.shape[0] - 1, 2), np.int64), np.empty(windows.shape[0], np.int64)
    within = np.empty((windows.shape[0], begin.shape[0], 2), np.int64)
    wholes, doubles = np.zeros(merges.shape[0], np.int64), np.zeros((merges.shape[0], 2))
    there = np.empty(merges.shape[0], np.bool_)
    first = _LEAST + windows[:, 2].max()  # a window that ends earlier would begin before all numbers
    for row in range(owner.shape[0]):
        entity = owner[row]
        until = merged[entity] if entity >= 0 else _LEAST
        heads[0] = max(boundary[row], first)
        needed[:, row] = _MOST
        needed[0, row] = heads[0]
        for window in range(windows.shape[0]):
            many[window] = find(
                data,
                begin,
                end,
                entity,
                windows[window],
                spans,
                levels,
                until,
                shape[0],
                row,
                tails,
                heads,
                needed,
                places[window],
                within[window],
            )
        counts[row] = many[0]
        for at in range(merges.shape[0]):
            window = merges[at, 1]
            merge_window(
                data,
                places[window],
                many[window],
                shape,
                merges[at],
                at,
                levels,
                within[window],
                starts,
                numbers,
                work,
                wholes,
                doubles,
                there,
            )
        for feature in range(finishes.shape[0]):
            code, at, kind, result = finishes[feature, 0], finishes[feature, 1], finishes[feature, 3], finishes[feature, 4]
            double = doubles[at, 0] if kind == _DOUBLE else float(wholes[at])
            known = there[at]
            if code == _RATIO:
                count = wholes[finishes[feature, 2]]
                known, double = count > 0, double / max(count, 1)
            elif code != _VALUE:
                known, double = wholes[at] > 1, spread(wholes[at], doubles[at, 0], doubles[at, 1]) / max(wholes[at] - 1, 1)
                double = double if code == _VARIANCE else np.sqrt(double)
            valid[feature, row] = known
            if known and result == _DOUBLE:
                out_doubles[feature, row] = double + 0.0
            else:
                out[feature, row] = 0 if not known else wholes[at] != 0 if result == _BYTE else wholes[at]
