"""Reads records of tiles where they lie (`features.columns.record`)."""

from __future__ import annotations

from typing import Any

from features.columns.record import START
from features.columns.values import Bytes, Doubles, Int64s
from features.partials.program import Kind
from schemas.machine_code import compiled, load_numba

_INT = int(Kind.INT)


def _loader(kind: str) -> Any:
    """Reads a number of numba's kind at a place of bytes, aligned or not."""
    result = getattr(load_numba(), kind)
    from numba.extending import intrinsic

    def load(typing: Any, data: Any, place: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            address = builder.gep(array.data, [arguments[1]])
            return builder.load(builder.bitcast(address, context.get_value_type(result).as_pointer()), align=1)

        return result(data, place), code

    return intrinsic(load)


int_at, length_at, double_at = _loader("int64"), _loader("uint32"), _loader("float64")


@compiled()
def place_from(data: Bytes, low: int, high: int, width: int, time_ms: int) -> int:
    """Where, among the records in `[low, high)`, the first is that starts at a time or later."""
    first, many = 0, (high - low) // width
    while first < many:
        middle = (first + many) // 2
        if int_at(data, low + middle * width + START) < time_ms:
            first = middle + 1
        else:
            many = middle
    return low + first * width


@compiled()
def is_null(data: Bytes, place: int, nulls: int, bit: int) -> bool:
    """Whether a column of the record at a place is null, by its number."""
    return bool((data[place + nulls + (bit >> 3)] >> (bit & 7)) & 1)


@compiled()
def doubles_of(data: Bytes, places: Int64s, width: int, nulls: int, cell: int, bit: int, empty: float, into: Doubles) -> bool:
    """Copy a column of doubles; returns whether one is there."""
    some, number = False, 0
    for piece in range(places.shape[0]):
        for place in range(places[piece, 0], places[piece, 1], width):
            into[number] = empty
            if not is_null(data, place, nulls, bit):
                into[number] = double_at(data, place + cell)
                some = True
            number += 1
    return some


@compiled()
def whole(data: Bytes, place: int, kind: int) -> int:
    """A whole number, or a byte."""
    return int(int_at(data, place)) if kind == _INT else int(data[place])


@compiled()
def wholes_of(data: Bytes, places: Int64s, width: int, nulls: int, cell: int, bit: int, kind: int, empty: int, into: Int64s) -> bool:
    """Copy a column of integers or of bytes; returns whether one is there."""
    some, number = False, 0
    for piece in range(places.shape[0]):
        for place in range(places[piece, 0], places[piece, 1], width):
            into[number] = empty
            if not is_null(data, place, nulls, bit):
                into[number] = whole(data, place + cell, kind)
                some = True
            number += 1
    return some


@compiled()
def starts_of(data: Bytes, places: Int64s, width: int, starts: Int64s) -> None:
    """When the tiles of a window start."""
    number = 0
    for piece in range(places.shape[0]):
        for place in range(places[piece, 0], places[piece, 1], width):
            starts[number] = int_at(data, place + START)
            number += 1
