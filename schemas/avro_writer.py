"""Columns as Avro, row by row: what Avro 1.12 calls its binary encoding, for a whole batch at once.

fields, one after the other ─Rows─▶ what is the same in all rows, numbers, flags and texts ─schemas.avro_kernel─▶ bytes ─▶ one `bytes` a row
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

NULL, BOOLEAN, LONG, DOUBLE, STRING = b"\x00", b"\x02", b"\x04", b"\x06", b"\x08"
"""Branches of the union null, boolean, long, double, string."""
END = b"\x00"
"""No further block of a map or array."""
SAME_FIELD, LONG_FIELD, DOUBLE_FIELD, BOOLEAN_FIELD, TEXT_FIELD, NULLABLE_FIELD, NAMES_FIELD = range(7)
"""The sorts of field that the kernel knows; of a null one the next is passed over, and names are followed by each as the same in all rows."""
_LONGEST = 10  # bytes of a long

Texts = tuple[NDArray[np.int64], NDArray[np.uint8]]
"""Of n rows: where each begins, and at last where all end, int64[n + 1]; and the bytes of all."""


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
        self._blocks: list[NDArray[np.int64]] = []  # fields before these
        self._same = bytearray()
        self._numbers: list[NDArray[np.int64]] = []  # each some rows of the kernel's `numbers`
        self._numbers_rows = 0
        self._flags: list[NDArray[np.bool_]] = []
        self._flags_rows = 0
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
        self._number(LONG_FIELD, values, _LONGEST)

    def doubles(self, values: NDArray[np.float64]) -> None:
        """A double of each row, float64[n]."""
        self._number(DOUBLE_FIELD, np.ascontiguousarray(values).view(np.int64), 8)

    def double_arrays(self, values: NDArray[np.float64]) -> None:
        """Each row of a matrix, float64[n, columns], as an array of doubles in one block; an empty one without columns."""
        if values.shape[1]:
            self.same(long(values.shape[1]))
            for column in range(values.shape[1]):
                self.doubles(values[:, column])
        self.same(END)

    def booleans(self, values: NDArray[np.bool_]) -> None:
        """A boolean of each row, bool[n]."""
        self._number(BOOLEAN_FIELD, values.astype(np.int64), 1)

    def texts(self, values: Sequence[bytes]) -> None:
        """A text of each row, as UTF-8."""
        self._text(joined(values))

    def names(self, flags: Mapping[str, NDArray[np.bool_]]) -> None:
        """An array of strings: the names whose flag a row has set, bool[n] each."""
        if not any(flag.any() for flag in flags.values()):
            self.same(END)
            return
        self._fields.append((NAMES_FIELD, self._flags_rows, len(flags)))
        self._widest += _LONGEST + len(END)
        for name, flag in flags.items():
            begin = len(self._same)
            self._same += text(name)
            self._widest += len(self._same) - begin
            self._fields.append((SAME_FIELD, begin, len(self._same)))
            self._flag(flag)
        self._fields.append((SAME_FIELD, len(self._same), len(self._same)))  # what follows is none of the names

    def map(
        self, branches: tuple[tuple[str, bytes], ...], numbers: NDArray[np.int64], valid: NDArray[np.bool_], texts: Iterable[Texts]
    ) -> None:
        """Each row as a map of the union above: one block with every column, then the end.

        Args:
            branches: Name and branch of each column.
            numbers: int64[columns, n], of doubles their bits, of booleans 0 and 1; of texts anything.
            valid: bool[columns, n], which are there.
            texts: The columns of texts, in their order.
        """
        layout = _layout(branches)
        begin = len(self._same)
        moved = layout.fields.copy()
        moved[:, 1] += np.array([begin, self._numbers_rows, self._flags_rows, len(self._texts)])[layout.of]
        moved[:, 2] += np.where(layout.of == 0, begin, 0)
        self._blocks += [_table_of(self._fields), moved]
        self._fields = []
        self._same += layout.same
        self._widest += layout.widest
        self._numbers.append(numbers)
        self._numbers_rows += len(numbers)
        self._flags.append(valid)
        self._flags_rows += len(valid)
        for each in texts:
            self._add_texts(each)

    def written(self) -> list[bytes]:
        """The rows."""
        if not self._n:
            return []
        from schemas import avro_kernel  # numba's import takes a second

        out = np.empty(self._n * self._widest + self._texts_bytes, dtype=np.uint8)
        ends = np.empty(self._n, dtype=np.int64)
        avro_kernel.write(
            np.concatenate([*self._blocks, _table_of(self._fields)]),
            np.frombuffer(self._same, dtype=np.uint8),
            np.concatenate([np.zeros((0, self._n), dtype=np.int64), *self._numbers]),
            np.concatenate([np.zeros((0, self._n), dtype=np.bool_), *self._flags]).view(np.uint8),
            np.array(self._text_begins, dtype=np.int64).reshape(len(self._texts), self._n + 1),
            np.concatenate([np.zeros(0, dtype=np.uint8), *self._texts]),
            out,
            ends,
        )
        return split(out[: ends[-1]].tobytes(), ends.tolist())

    def _number(self, sort: int, values: NDArray[np.int64], widest: int) -> None:
        self._fields.append((sort, self._numbers_rows, 0))
        self._widest += widest
        self._numbers.append(values.reshape(1, -1))
        self._numbers_rows += 1

    def _flag(self, values: NDArray[np.bool_]) -> None:
        self._flags.append(values.reshape(1, -1))
        self._flags_rows += 1

    def _text(self, column: Texts) -> None:
        self._fields.append((TEXT_FIELD, len(self._texts), 0))
        self._widest += _LONGEST
        self._add_texts(column)

    def _add_texts(self, column: Texts) -> None:
        begins, content = column
        self._text_begins.append(begins + self._texts_bytes)
        self._texts.append(content)
        self._texts_bytes += len(content)


def joined(values: Sequence[bytes]) -> Texts:
    """Texts, as UTF-8, one after the other."""
    begins = np.array([*accumulate(map(len, values), initial=0)], dtype=np.int64)
    return begins, np.frombuffer(b"".join(values), dtype=np.uint8)


@dataclass(frozen=True)
class _Layout:
    """A map's fields, as if nothing were before them.

    Attributes:
        same: What is the same in all rows.
        fields: int64[fields, 3].
        of: int64[fields], what the first number of each counts: bytes of `same`, numbers, flags or texts.
        widest: Bytes of a row without its texts.
    """

    same: bytes
    fields: NDArray[np.int64]
    of: NDArray[np.int64]
    widest: int


@lru_cache(maxsize=256)
def _layout(branches: tuple[tuple[str, bytes], ...]) -> _Layout:
    rows, nothing = Rows(0), np.empty(0)
    if branches:
        rows.same(long(len(branches)))
    for name, branch in branches:
        rows.same(text(name))
        rows._fields.append((NULLABLE_FIELD, rows._flags_rows, branch[0]))
        rows._flag(nothing.astype(np.bool_))
        if branch == STRING:
            rows._text(joined([]))
            rows._numbers_rows += 1
        else:
            rows._number(_SORTS[branch], nothing.astype(np.int64), _LONGEST)
    rows.same(END)
    fields = _table_of(rows._fields)
    counted = {SAME_FIELD: 0, NULLABLE_FIELD: 2, TEXT_FIELD: 3}
    of = np.array([counted.get(sort, 1) for sort in fields[:, 0].tolist()], dtype=np.int64)
    return _Layout(bytes(rows._same), fields, of, rows._widest + len(branches))


_SORTS = {DOUBLE: DOUBLE_FIELD, LONG: LONG_FIELD, BOOLEAN: BOOLEAN_FIELD}


def _table_of(fields: list[tuple[int, int, int]]) -> NDArray[np.int64]:
    return np.array(fields, dtype=np.int64).reshape(-1, 3)


def split(flat: bytes, ends: Iterable[int]) -> list[bytes]:
    """Bytes cut at each end."""
    begin, rows = 0, []
    for end in ends:
        rows.append(flat[begin:end])
        begin = end
    return rows
