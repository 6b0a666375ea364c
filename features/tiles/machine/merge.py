"""A partial merged over a window."""

from __future__ import annotations

import numpy as np

from features.columns.values import Bools, Bytes, Doubles, Int64s
from features.partials.opcodes import MergeCode
from features.partials.program import CELLS, Kind
from features.tiles.machine.edges import edge
from features.tiles.machine.moments import moments
from features.tiles.machine.reading import double_at, doubles_of, is_null, starts_of, whole, wholes_of
from features.tiles.machine.sums import add, largest, smallest
from schemas.machine_code import compiled

_TOTAL = int(MergeCode.TOTAL)
_SMALLEST = int(MergeCode.SMALLEST)
_LARGEST = int(MergeCode.LARGEST)
_FIRST = int(MergeCode.FIRST)
_LAST = int(MergeCode.LAST)
_MOMENTS = int(MergeCode.MOMENTS)
_INT = int(Kind.INT)
_DOUBLE = int(Kind.DOUBLE)
_LEAST = -(1 << 63)
_MOST = (1 << 63) - 1


@compiled()
def merge_doubles(of_moments: bool, many: int, levels: Int64s, within: Int64s, starts: Int64s, counts: Int64s, work: Doubles) -> int:
    """Merge what is closed and not merged in the store yet, level by level, as `features.kernel.larger` does: doubles are added in the same groups wherever.

    Args:
        of_moments: Whether it is `counts` and `work[0..2]` that are merged, or `work[0]` alone.
        many: How many tiles there are.
        levels: Sizes.
        within: Of `_unmerged`.
        starts: When the tiles start; overwritten, as the numbers are.
        counts: Of moments.
        work: The doubles.

    Returns:
        How many are left.
    """
    for level in range(1, levels.shape[0]):
        since, until, size = within[level, 0], within[level, 1], levels[level]
        if since >= until:
            continue
        place = 0
        while place < many and starts[place] < since:
            place += 1
        left = place
        while place < many:
            begin, start = place, starts[place]
            if start >= until:
                if of_moments:
                    counts[left], work[1, left], work[2, left] = counts[place], work[1, place], work[2, place]
                starts[left], work[0, left] = start, work[0, place]
                place += 1
            else:
                start = start // size * size
                while place < many and starts[place] < start + size:
                    place += 1
                if of_moments:
                    counts[left], work[0, left], work[1, left], work[2, left] = moments(begin, place - begin, True, counts, work)
                else:
                    work[0, left] = add(work[0], begin, place - begin)
                starts[left] = start
            left += 1
        many = left
    return many


@compiled()
def merge_window(
    data: Bytes,
    places: Int64s,
    many: int,
    shape: Int64s,
    merge: Int64s,
    at: int,
    levels: Int64s,
    within: Int64s,
    starts: Int64s,
    numbers: Int64s,
    work: Doubles,
    wholes: Int64s,
    doubles: Doubles,
    there: Bools,
) -> None:
    """Merge a partial over a window, into place `at` of the results."""
    width, nulls, code, kind = shape[0], shape[1], merge[0], merge[2]
    if code in (_FIRST, _LAST):
        best, value = edge(data, places, width, nulls, merge), merge[CELLS + (2 if merge[3] < 0 else 4)]
        there[at] = best >= 0 and not is_null(data, best, nulls, merge[CELLS + (3 if merge[3] < 0 else 5)])
        if there[at] and kind == _DOUBLE:
            doubles[at, 0] = double_at(data, best + value)
        elif there[at]:
            wholes[at] = whole(data, best + value, kind)
        return
    some, of_moments = False, code == _MOMENTS
    double_empty = np.nan if code == _SMALLEST else -np.inf if code == _LARGEST else 0.0
    whole_empty = _MOST if code == _SMALLEST else _LEAST if code == _LARGEST else 0
    for column in range(4 if of_moments else 1):
        cell, bit = merge[CELLS + 2 * column], merge[CELLS + 2 * column + 1]
        if kind == _DOUBLE and not (of_moments and column == 0):
            some = doubles_of(data, places, width, nulls, cell, bit, double_empty, work[max(column - 1, 0)])
        else:
            some = wholes_of(data, places, width, nulls, cell, bit, _INT if of_moments else kind, whole_empty, numbers)
    there[at] = some or code == _TOTAL
    if levels.shape[0] > 1 and (of_moments or (code == _TOTAL and kind == _DOUBLE)):
        starts_of(data, places, width, starts)
        many = merge_doubles(of_moments, many, levels, within, starts, numbers, work)
    if of_moments:
        wholes[at], _, doubles[at, 0], doubles[at, 1] = moments(0, many, merge[4] != 0, numbers, work)
    elif kind == _DOUBLE:
        if code == _TOTAL:
            doubles[at, 0] = add(work[0], 0, many)
        else:
            doubles[at, 0] = smallest(work[0], many) if code == _SMALLEST else largest(work[0], many)
    else:
        result = whole_empty
        for place in range(many):
            if code == _TOTAL:
                result += numbers[place]
            else:
                result = min(result, numbers[place]) if code == _SMALLEST else max(result, numbers[place])
        wholes[at] = result
