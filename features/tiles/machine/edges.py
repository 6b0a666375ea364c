"""The first and the last, as `features.partials.edges`."""

from __future__ import annotations

from features.columns.values import Bytes, Int64s
from features.partials.opcodes import MergeCode
from features.partials.program import CELLS, Kind
from features.tiles.machine.reading import double_at, is_null, whole
from schemas.machine_code import compiled

_FIRST = int(MergeCode.FIRST)
_INT = int(Kind.INT)
_DOUBLE = int(Kind.DOUBLE)


@compiled()
def _compare(data: Bytes, one: int, other: int, kind: int) -> int:
    """−1, 0 or 1, as one value is less than the other, the same or more; NaN is the largest."""
    if kind == _DOUBLE:
        a, b = double_at(data, one), double_at(data, other)
        if a < b or (a == a and b != b):
            return -1
        return 1 if a > b or (a != a and b == b) else 0
    x, y = whole(data, one, kind), whole(data, other, kind)
    return -1 if x < y else 1 if x > y else 0


@compiled()
def edge(data: Bytes, places: Int64s, width: int, nulls: int, merge: Int64s) -> int:
    """The place of the record with the smallest or the largest (time, tie with null smallest, value); −1 of none."""
    best, tied = -1, merge[3] >= 0
    time, tie, tie_bit, value = merge[CELLS], merge[CELLS + 2], merge[CELLS + 3], merge[CELLS + (4 if tied else 2)]
    for piece in range(places.shape[0]):
        for place in range(places[piece, 0], places[piece, 1], width):
            if is_null(data, place, nulls, merge[CELLS + 1]):
                continue
            order = -1 if merge[0] == _FIRST else 1
            if best >= 0:
                order = _compare(data, place + time, best + time, _INT)
                if order == 0 and tied:
                    none, best_none = is_null(data, place, nulls, tie_bit), is_null(data, best, nulls, tie_bit)
                    if none != best_none:
                        order = -1 if none else 1
                    elif not none:
                        order = _compare(data, place + tie, best + tie, merge[3])
                if order == 0:
                    order = _compare(data, place + value, best + value, merge[2])
            if (order < 0) if merge[0] == _FIRST else (order >= 0):
                best = place
    return best
