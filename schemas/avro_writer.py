"""Columns as Avro, row by row: what Avro 1.12 calls its binary encoding, for a whole batch at once.

fields, one after the other ─Rows─▶ what is the same in all rows, numbers, flags and texts ─schemas.avro_kernel─▶ bytes ─▶ one `bytes` a row
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.arrow_numbers import numbers, texts, there, whole

NULL, BOOLEAN, LONG, DOUBLE, STRING = b"\x00", b"\x02", b"\x04", b"\x06", b"\x08"
"""Branches of the union null, boolean, long, double, string."""
END = b"\x00"
"""No further block of a map or array."""
SAME_FIELD, LONG_FIELD, DOUBLE_FIELD, BOOLEAN_FIELD, TEXT_FIELD, NULLABLE_FIELD, NAMES_FIELD = range(7)
"""The sorts of field that the kernel knows; of a null one the next is passed over, and names are followed by each as the same in all rows."""
_LONGEST = 10  # bytes of a long


def text(value: str) -> bytes:
    """A string."""
    data = value.encode()
    return long(len(data)) + data


def long(value: int) -> bytes:
    """A long: zigzag, then seven bits a byte, least significant first."""
    zigzag = (value << 1) ^ (value >> 63)
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


def prepare() -> None:
    """Compile what writes rows, or load what was compiled, so that the first batch need not."""
    from schemas import avro_kernel  # noqa: F401


class Rows:
    """Records of n rows, to which one field after the other is added. Those that are nullable are a union with null first."""

    def __init__(self, n: int) -> None:
        """Without a field yet."""
        self._n = n
        self._fields: list[tuple[int, int, int]] = []
        self._same = bytearray()
        self._longs: list[NDArray[np.int64]] = []
        self._doubles: list[NDArray[np.float64]] = []
        self._flags: list[NDArray[Any]] = []
        self._text_begins: list[NDArray[np.int64]] = []
        self._texts: list[NDArray[np.uint8]] = []
        self._texts_bytes = 0
        self._widest = 0  # bytes of a row without its texts

    def same(self, content: bytes) -> None:
        """What is written already, the same in all rows."""
        begin = len(self._same)
        self._same += content
        self._widest += len(content)
        if self._fields and self._fields[-1][0] == SAME_FIELD and self._fields[-1][2] == begin:
            self._fields[-1] = (SAME_FIELD, self._fields[-1][1], len(self._same))
        else:
            self._fields.append((SAME_FIELD, begin, len(self._same)))

    def longs(self, values: NDArray[np.int64]) -> None:
        """A long of each row, int64[n]."""
        self._field(LONG_FIELD, len(self._longs), _LONGEST)
        self._longs.append(values)

    def doubles(self, values: NDArray[np.float64]) -> None:
        """A double of each row, float64[n]."""
        self._field(DOUBLE_FIELD, len(self._doubles), 8)
        self._doubles.append(values)

    def double_arrays(self, values: NDArray[np.float64]) -> None:
        """Each row of a matrix, float64[n, columns], as an array of doubles in one block; an empty one without columns."""
        if values.shape[1]:
            self.same(long(values.shape[1]))
            for column in range(values.shape[1]):
                self.doubles(values[:, column])
        self.same(END)

    def booleans(self, values: NDArray[np.bool_]) -> None:
        """A boolean of each row, bool[n]."""
        self._field(BOOLEAN_FIELD, len(self._flags), 1)
        self._flags.append(values)

    def names(self, flags: Mapping[str, NDArray[np.bool_]]) -> None:
        """An array of strings: the names whose flag a row has set, bool[n] each."""
        if not any(flag.any() for flag in flags.values()):
            self.same(END)
            return
        self._fields.append((NAMES_FIELD, len(self._flags), len(flags)))
        self._widest += _LONGEST + len(END)
        for name, flag in flags.items():
            begin = len(self._same)
            self._same += text(name)
            self._widest += len(self._same) - begin
            self._fields.append((SAME_FIELD, begin, len(self._same)))
            self._flags.append(flag)
        self._fields.append((SAME_FIELD, len(self._same), len(self._same)))  # what follows is none of the names

    def column(self, column: pa.Array[Any] | pa.ChunkedArray[Any], *, branch: bytes = b"") -> None:
        """A column of booleans, numbers, times (in ms) or strings; nulls are the union's branch 0.

        Args:
            column: Of n.
            branch: What precedes a value that is there, one byte; none where no value is null.
        """
        self._column(whole(column), before=b"", branch=branch)

    def map(self, table: pa.Table) -> None:
        """Each row as a map of the union above: one block with every column, then the end."""
        if table.num_columns:
            self.same(long(table.num_columns))
        for name, column in zip(table.column_names, table.columns, strict=True):
            self._column(whole(column), before=_name(name), branch=_BRANCHES.get(column.type.id, STRING))
        self.same(END)

    def written(self) -> list[bytes]:
        """The rows."""
        if not self._n:
            return []
        from schemas import avro_kernel  # numba's import takes a second

        out = np.empty(self._n * self._widest + self._texts_bytes, dtype=np.uint8)
        ends = np.empty(self._n, dtype=np.int64)
        avro_kernel.write(
            np.array(self._fields, dtype=np.int64).reshape(-1, 3),
            np.frombuffer(self._same, dtype=np.uint8),
            self._side_by_side(self._longs, np.int64),
            self._side_by_side(self._doubles, np.float64).view(np.uint64),
            self._side_by_side(self._flags, np.uint8),
            np.array(self._text_begins, dtype=np.int64).reshape(len(self._texts), self._n + 1),
            np.concatenate([np.zeros(0, dtype=np.uint8), *self._texts]),
            out,
            ends,
        )
        return split(out[: ends[-1]].tobytes(), ends.tolist())

    def _field(self, sort: int, number: int, widest: int) -> None:
        self._fields.append((sort, number, 0))
        self._widest += widest

    def _column(self, column: pa.Array[Any], *, before: bytes, branch: bytes) -> None:
        if column.null_count:
            self.same(before)
            self._fields.append((NULLABLE_FIELD, len(self._flags), branch[0]))
            self._widest += 1
            self._flags.append(there(column))
        else:
            self.same(before + branch)
        kind: Any = column.type
        sort = _BRANCHES.get(kind.id)
        if sort == DOUBLE:
            self.doubles(numbers(column if kind == _FLOAT64 else column.cast(_FLOAT64), np.float64))
        elif sort == BOOLEAN:
            self.booleans(np.asarray(column.fill_null(False)))
        elif sort == LONG:
            if pa.types.is_timestamp(kind):
                column = column if kind.unit == "ms" else column.cast(pa.timestamp("ms", tz=kind.tz))
            elif kind != _INT64:
                column = column.cast(_INT64)
            self.longs(numbers(column, np.int64))
        else:
            begins, content = texts(column if kind == _STRING else column.cast(_STRING))
            self._field(TEXT_FIELD, len(self._texts), _LONGEST)
            self._text_begins.append(begins + self._texts_bytes)
            self._texts.append(content)
            self._texts_bytes += len(content)

    def _side_by_side(self, columns: list[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
        together = np.empty((len(columns), self._n), dtype=kind)
        for number, column in enumerate(columns):
            together[number] = column
        return together


_FLOAT64, _INT64, _STRING = pa.float64(), pa.int64(), pa.string()


_BRANCHES = {
    **{kind.id: DOUBLE for kind in (_FLOAT64, pa.float32(), pa.float16())},
    **{
        kind.id: LONG
        for kind in (_INT64, pa.int32(), pa.int16(), pa.int8(), pa.uint64(), pa.uint32(), pa.uint16(), pa.uint8(), pa.timestamp("ms"))
    },
    pa.bool_().id: BOOLEAN,
}
"""Of Arrow's types, by their number; of all others the strings'."""

_name = lru_cache(maxsize=4096)(text)


def split(flat: bytes, ends: Iterable[int]) -> list[bytes]:
    """Bytes cut at each end."""
    begin, rows = 0, []
    for end in ends:
        rows.append(flat[begin:end])
        begin = end
    return rows
