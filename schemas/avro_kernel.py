"""Records of many rows written as machine code, field by field; `schemas.avro_writer` lays the fields out. Its import takes numba's second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.avro_writer import BOOLEAN_FIELD, DOUBLE_FIELD, LONG_FIELD, NAMES_FIELD, NULLABLE_FIELD, SAME_FIELD, TEXT_FIELD
from schemas.machine_code import compiled

_Bytes = NDArray[np.uint8]
_Wholes = NDArray[np.int64]
_SEVEN_BITS, _CONTINUED, _SEVEN, _ONE, _SIGN = np.uint64(0x7F), np.uint8(0x80), np.uint64(7), np.uint64(1), np.uint64(63)
_EIGHT, _OCTET = np.uint64(8), np.uint64(0xFF)


@compiled()
def _put_long(out: _Bytes, at: np.uint64, value: np.int64) -> np.uint64:
    """Zigzag, then seven bits a byte, least significant first; where the next byte goes."""
    rest = (np.uint64(value) << _ONE) ^ (_ONE + ~(np.uint64(value) >> _SIGN))  # all ones below zero
    while rest > _SEVEN_BITS:
        out[at] = np.uint8(rest & _SEVEN_BITS) | _CONTINUED
        rest >>= _SEVEN
        at += _ONE
    out[at] = np.uint8(rest)
    return np.uint64(at + _ONE)


@compiled()
def _put_double(out: _Bytes, at: np.uint64, bits: np.uint64) -> np.uint64:
    """Eight bytes, least significant first."""
    for _ in range(8):
        out[at] = np.uint8(bits & _OCTET)
        bits >>= _EIGHT
        at += _ONE
    return np.uint64(at)


@compiled()
def _put(out: _Bytes, at: np.uint64, content: _Bytes, begin: np.uint64, end: np.uint64) -> np.uint64:
    """Bytes of others."""
    for position in range(begin, end):
        out[at] = content[position]
        at += _ONE
    return np.uint64(at)


@compiled("void(i8[:, ::1], u1[::1], i8[:, ::1], u1[:, ::1], i8[:, ::1], u1[::1], u1[::1], i8[::1])")
def write(
    fields: _Wholes,
    same: _Bytes,
    numbers: _Wholes,
    flags: _Bytes,
    text_ends: _Wholes,
    texts: _Bytes,
    out: _Bytes,
    ends: _Wholes,
) -> None:
    """Write n rows, one after the other.

    Args:
        fields: int64[fields, 3], which sort each is of, and two numbers that the sort says.
        same: uint8[…], what is the same in all rows.
        numbers: int64[numbers, n], of doubles their bits, of booleans 0 and 1.
        flags: uint8[flags, n], 0 or 1.
        text_ends: int64[texts, n + 1], where among the texts each row's begins; the last is where the column ends.
        texts: uint8[…], UTF-8.
        out: uint8[…], filled; with room for all.
        ends: int64[n], filled: where each row ends.
    """
    at = np.uint64(0)
    for row in range(len(ends)):
        number = 0
        while number < len(fields):
            sort, first, second = fields[number, 0], fields[number, 1], fields[number, 2]
            number += 1
            if sort == SAME_FIELD:
                at = _put(out, at, same, np.uint64(first), np.uint64(second))
            elif sort == DOUBLE_FIELD:
                at = _put_double(out, at, np.uint64(numbers[first, row]))
            elif sort == LONG_FIELD:
                at = _put_long(out, at, numbers[first, row])
            elif sort == BOOLEAN_FIELD:
                out[at] = np.uint8(numbers[first, row])
                at += _ONE
            elif sort == TEXT_FIELD:
                begin, end = text_ends[first, row], text_ends[first, row + 1]
                at = _put_long(out, at, end - begin)
                at = _put(out, at, texts, np.uint64(begin), np.uint64(end))
            elif sort == NULLABLE_FIELD:
                if flags[first, row]:
                    out[at] = np.uint8(second)
                else:
                    out[at] = np.uint8(0)
                    number += 1
                at += _ONE
            elif sort == NAMES_FIELD:
                count = 0
                for name in range(second):
                    count += flags[first + name, row]
                if count:
                    at = _put_long(out, at, np.int64(count))
                    for name in range(second):
                        if flags[first + name, row]:
                            at = _put(out, at, same, np.uint64(fields[number + name, 1]), np.uint64(fields[number + name, 2]))
                out[at] = np.uint8(0)
                at += _ONE
                number += second
        ends[row] = at
