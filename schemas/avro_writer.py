"""Columns as Avro, row by row: what Avro 1.12 calls its binary encoding, written for a whole batch at once.

Numbers of several columns are laid side by side in one matrix of bytes, from which the bytes that a row does not have are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NULL, BOOLEAN, LONG, DOUBLE, STRING = b"\x00", b"\x02", b"\x04", b"\x06", b"\x08"
"""Branches of the union null, boolean, long, double, string."""
END = b"\x00"
"""No further block of a map or array."""
_CONTINUED, _SEVEN_BITS = np.uint8(0x80), np.uint64(0x7F)

T = TypeVar("T")

_Bytes = NDArray[np.uint8]


def text(value: str) -> bytes:
    """A string."""
    data = value.encode()
    return long(len(data)) + data


def long(value: int) -> bytes:
    """A long: zigzag, then seven bits a byte, least significant first."""
    zigzag = (value << 1) ^ (value >> 63)
    if zigzag < 0x80:
        return _SMALL[zigzag]
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


_SMALL = tuple(bytes((value,)) for value in range(0x80))


def distinct(values: Sequence[T], write: Callable[[T], bytes]) -> list[bytes]:
    """Values of which many are alike, each distinct one written once."""
    known = {value: write(value) for value in set(values)}
    return [known[value] for value in values]


def longs(values: NDArray[np.int64]) -> list[bytes]:
    """Longs, each for itself."""
    zigzag, width = _zigzag(values)
    content = np.empty((len(values), width), dtype=np.uint8)
    for position in range(width):
        content[:, position] = _seven_bits(zigzag, position)
    there = zigzag[:, None] >= _LEAST[:width]
    return _split(content[there].tobytes(), np.cumsum(there.sum(axis=1)).tolist())


def _zigzag(values: NDArray[np.int64]) -> tuple[NDArray[np.uint64], int]:
    """Small numbers of either sign as small ones without, and how many bytes the largest takes."""
    zigzag = ((values << 1) ^ (values >> 63)).astype(np.uint64)
    return zigzag, max(1, (int(zigzag.max(initial=0)).bit_length() + 6) // 7)


def _seven_bits(zigzag: NDArray[np.uint64], position: int) -> _Bytes:
    """The byte of that position; it says whether another follows."""
    rest = zigzag >> np.uint64(7 * position)
    return np.asarray((rest & _SEVEN_BITS).astype(np.uint8) | np.where(rest > _SEVEN_BITS, _CONTINUED, np.uint8(0)))


_LEAST = np.array([0, *(1 << 7 * position for position in range(1, 10))], dtype=np.uint64)
"""The least that has a byte at each position."""


def doubles(values: NDArray[np.float64]) -> list[bytes]:
    """Doubles, each for itself."""
    raw = np.ascontiguousarray(values, dtype="<f8").tobytes()
    return [raw[start : start + 8] for start in range(0, len(raw), 8)]


def double_arrays(values: NDArray[np.float64]) -> list[bytes]:
    """Each row of a matrix as an array of doubles, in one block; an empty one without columns."""
    n, columns = values.shape
    if not columns:
        return [END] * n
    count = np.frombuffer(long(columns), dtype=np.uint8)
    content = np.zeros((n, len(count) + 8 * columns + len(END)), dtype=np.uint8)
    content[:, : len(count)] = count
    content[:, len(count) : -len(END)] = np.ascontiguousarray(values, dtype="<f8").view(np.uint8).reshape(n, 8 * columns)
    return _split(content.tobytes(), range(content.shape[1], content.size + 1, content.shape[1]))


def array(items: Sequence[bytes]) -> bytes:
    """An array of encoded items, in one block."""
    return long(len(items)) + b"".join(items) + END if items else END


def maps(table: pa.Table) -> list[Iterable[bytes]]:
    """Each row as a map of the union above: one block with every column, then the end. The parts of a row, to be joined in order."""
    if table.num_columns == 0:
        return [[END] * table.num_rows]
    parts: list[Iterable[bytes]] = [[long(table.num_columns)] * table.num_rows]
    numbers: list[tuple[str, pa.Array[Any]]] = []
    for name in table.column_names:
        column: Any = table.column(name)
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ms", tz=column.type.tz)).cast(pa.int64())
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
            numbers.append((name, column))
            continue
        parts += [_numbers(numbers), _words(name, column)] if numbers else [_words(name, column)]
        numbers = []
    return [*parts, *([_numbers(numbers)] if numbers else []), [END] * table.num_rows]


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where in a row's bytes what stands, had it no null and every long its greatest width.

    Attributes:
        constant: uint8[width], the names and branches.
        branches: Of each column, where its branch is.
        doubles: Of each double, where it begins.
        longs: Of each long, where it begins.
    """

    constant: _Bytes
    branches: NDArray[np.intp]
    doubles: NDArray[np.intp]
    longs: NDArray[np.intp]

    @classmethod
    def of(cls, columns: tuple[tuple[str, bytes], ...], long_bytes: int) -> _Layout:
        """Of columns, each with its name and branch."""
        content = bytearray()
        branches: list[int] = []
        doubles: list[int] = []
        longs: list[int] = []
        for name, branch in columns:
            content += text(name)
            branches.append(len(content))
            content += branch
            (doubles if branch == DOUBLE else longs).append(len(content))
            content += bytes(8 if branch == DOUBLE else long_bytes)
        places = (np.array(each, dtype=np.intp) for each in (branches, doubles, longs))
        branches_, doubles_, longs_ = places
        return cls(constant=np.frombuffer(bytes(content), dtype=np.uint8), branches=branches_, doubles=doubles_, longs=longs_)


_layout = lru_cache(maxsize=64)(_Layout.of)


def _numbers(columns: Sequence[tuple[str, pa.Array[Any]]]) -> list[bytes]:
    """The map entries of adjoining columns of numbers, row by row."""
    n = len(columns[0][1])
    kinds = [_branch(column.type) for _, column in columns]
    some_null = any(column.null_count for _, column in columns)
    doubles = [_plain(column, np.float64) for (_, column), kind in zip(columns, kinds, strict=True) if kind == DOUBLE]
    # A boolean's byte is that of the long 0 or −1.
    longs = [
        _plain(column, np.int64) * (-1 if kind == BOOLEAN else 1)
        for (_, column), kind in zip(columns, kinds, strict=True)
        if kind != DOUBLE
    ]
    stacked = np.array(longs, dtype=np.int64).reshape(len(longs), n).T
    zigzag, long_bytes = _zigzag(stacked)
    layout = _layout(tuple((name, kind) for (name, _), kind in zip(columns, kinds, strict=True)), long_bytes)
    content = np.empty((n, len(layout.constant)), dtype=np.uint8)
    content[:] = layout.constant
    if doubles:
        values = np.ascontiguousarray(np.array(doubles, dtype="<f8").T)
        content[:, (layout.doubles[:, None] + np.arange(8)).ravel()] = values.view(np.uint8).reshape(n, 8 * len(doubles))
    for position in range(long_bytes if longs else 0):
        content[:, layout.longs + position] = _seven_bits(zigzag, position)
    if long_bytes == 1 and not some_null:
        return _split(content.tobytes(), range(content.shape[1], content.size + 1, content.shape[1]))
    there = np.ones(content.shape, dtype=np.bool_)
    for position in range(1, long_bytes):
        there[:, layout.longs + position] = zigzag >= _LEAST[position]
    if some_null:
        valid = np.array([np.asarray(column.is_valid()) for _, column in columns]).T
        content[:, layout.branches] = np.where(valid, content[:, layout.branches], np.uint8(NULL[0]))
        for positions, width, are_doubles in ((layout.doubles, 8, True), (layout.longs, long_bytes, False)):
            those = valid[:, [(kind == DOUBLE) == are_doubles for kind in kinds]]
            for position in range(width):
                there[:, positions + position] &= those
    return _split(content[there].tobytes(), np.cumsum(there.sum(axis=1)).tolist())


def _branch(kind: pa.DataType) -> bytes:
    return DOUBLE if pa.types.is_floating(kind) else BOOLEAN if pa.types.is_boolean(kind) else LONG


def _plain(column: pa.Array[Any], kind: type[np.number[Any]]) -> NDArray[Any]:
    """Its values; 0 for null."""
    if column.null_count:
        column = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
    return column.to_numpy(zero_copy_only=False).astype(kind, copy=False)


def _split(flat: bytes, ends: Iterable[int]) -> list[bytes]:
    begin, rows = 0, []
    for end in ends:
        rows.append(flat[begin:end])
        begin = end
    return rows


def _words(name: str, column: pa.Array[Any]) -> list[bytes]:
    """The map entries of a column of strings."""
    key = text(name)
    return distinct(column.to_pylist(), lambda value: key + (NULL if value is None else STRING + text(value)))
