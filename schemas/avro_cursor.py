"""Read positions over a batch of Avro records: one per record, all moved together, one numpy step per field.

Each length is checked against its own record before anything is read, so damaged bytes cost nothing and never reach a neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.types import DataType

Rows = NDArray[np.int64]
Values = NDArray[Any]

TRUNCATED = "truncated: the record ends inside a field"
TOO_WIDE = "wrong-type: an integer of more than 64 bits"
NO_SUCH_LENGTH = "truncated: a length says more bytes than there are"
DTYPES = {
    DataType.BOOLEAN: np.dtype(bool),
    DataType.INT64: np.dtype(np.int64),
    DataType.TIMESTAMP: np.dtype(np.int64),
    DataType.FLOAT64: np.dtype(np.float64),
    DataType.STRING: np.dtype(object),
}
_PAD = bytes(64)  # refused records read on here: zeroes, which are valid and short for every type


@dataclass(frozen=True, kw_only=True)
class Column:
    """Values of one field; where `nulls` is true (or for a refused record) the value means nothing."""

    values: Values
    nulls: NDArray[np.bool_]


class Cursor:
    """One read position per record of a batch, and what was wrong with each."""

    def __init__(self, data: bytes, start: Rows, end: Rows) -> None:
        """Place the positions.

        Args:
            data: The batch's bytes.
            start: int64[n], where each record begins.
            end: int64[n], where each record ends.
        """
        self.data = data + _PAD
        self.octets = np.frombuffer(self.data, dtype=np.uint8)
        self.at = start.astype(np.int64)
        self.end = end.astype(np.int64)
        self.faults: list[str | None] = [None] * len(start)
        self._sink = len(data)

    def refuse(self, rows: Rows, reason: str, values: Values | None = None) -> None:
        """Note why records are refused (the first reason stays; `{}` is the record's own value) and park them on zeroes."""
        for index, row in enumerate(rows.tolist()):
            if self.faults[row] is None:
                self.faults[row] = reason if values is None else reason.format(values[index])
        self.at[rows] = self._sink
        self.end[rows] = self._sink + len(_PAD) // 2

    def advance(self, rows: Rows, at: Rows) -> NDArray[np.bool_] | None:
        """Move to new positions; records that this takes past their end are refused and returned as a mask."""
        self.at[rows] = at
        over = at > self.end[rows]
        if not over.any():
            return None
        self.refuse(rows[over], TRUNCATED)
        return over

    def whole(self, rows: Rows) -> NDArray[np.int64]:
        """Read a zigzag varint (int, long, a length, a branch) of each record."""
        at = self.at[rows]
        octet = self.octets[at]
        at += 1
        bits = (octet & 0x7F).astype(np.uint64)
        more = np.flatnonzero(octet & 0x80)
        shift = 7
        while more.size:
            octet = self.octets[at[more]]
            at[more] += 1
            bits[more] |= (octet & np.uint8(0x7F)).astype(np.uint64) << np.uint64(shift)
            if shift == 63:
                broken = more[octet > 1]
                if broken.size:
                    self.refuse(rows[broken], TOO_WIDE)
                    at[broken] = self.at[rows[broken]]
                    bits[broken] = 0
                break
            more = more[octet >= 0x80]
            shift += 7
        over = self.advance(rows, at)
        if over is not None:
            bits[over] = 0
        values: NDArray[np.int64] = (bits >> np.uint64(1)).astype(np.int64) ^ -(bits & np.uint64(1)).astype(np.int64)
        return values

    def fixed(self, rows: Rows, size: int, dtype: str) -> Values:
        """Read `size` bytes of each record as a little-endian number."""
        at = self.at[rows]
        raw = self.octets[at[:, None] + np.arange(size)]
        self.advance(rows, at + size)
        return np.ascontiguousarray(raw).view(dtype)[:, 0]

    def span(self, rows: Rows) -> tuple[Rows, Rows]:
        """Read a length and step over that many bytes: where they begin and end."""
        length = self.whole(rows)
        start = self.at[rows]
        wrong = (length < 0) | (length > self.end[rows] - start)
        if wrong.any():
            self.refuse(rows[wrong], NO_SUCH_LENGTH)
            start[wrong] = self._sink
            length[wrong] = 0
        stop = start + length
        self.at[rows] = np.where(wrong, self.at[rows], stop)
        return start, stop


def as_column(values: Sequence[object], type_: DataType) -> Column:
    """A column of Python values, None for null."""
    nulls = np.array([value is None for value in values], dtype=bool)
    array = np.zeros(len(values), dtype=DTYPES[type_])
    array[~nulls] = [value for value in values if value is not None] if type_ is not DataType.STRING else _objects(values)[~nulls]
    return Column(values=array, nulls=nulls)


def _objects(values: Sequence[object]) -> Values:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
