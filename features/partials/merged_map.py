"""Maps of many tiles, merged row by row: texts of tiles → entries of each row, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.columns.values import Bools, Int64s, Values
from features.partials.map_text import MOST_CHARACTERS, TOO_LARGE, Entries, escaped

_CHUNK_ENTRIES = 1 << 22  # merged at once: bounds memory, changes no value


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The merged map of each row: one entry for each of its sub-keys, rows in order, sub-keys by `key`.

    Attributes:
        rows: How many there are.
        row, key, number: Of each entry, as in `Entries`.
        keys: As there.
    """

    rows: int
    row: Int64s
    key: Int64s
    number: Int64s
    keys: pa.Array[Any]

    @cached_property
    def begin(self) -> Int64s:
        """Where each row's entries begin; the last is where all end."""
        return np.searchsorted(self.row, np.arange(self.rows + 1))

    @cached_property
    def by_number(self) -> Merged:
        """Each row's entries by number, largest first, then by sub-key."""
        order = np.lexsort((self.key, -self.number, self.row))
        return Merged(rows=self.rows, row=self.row, key=self.key[order], number=self.number[order], keys=self.keys)

    def nth(self, rank: int) -> pa.Array[Any]:
        """The sub-key of each row's entry number `rank`, from 1; null where there are fewer."""
        begin = self.begin
        position = begin[:-1] + rank - 1
        there: Bools = position < begin[1:]
        key = np.append(self.key, 0)[np.where(there, position, len(self.key))]
        chosen: Any = pa.array(key, type=pa.int64(), mask=~there)
        return self.keys.take(chosen)

    @property
    def too_many(self) -> Bools:
        """Which rows' entries are more than a tile may keep, counted as its SQL does."""
        size: Any = pc.utf8_length(escaped(self.keys))
        number: Any = pa.array(self.number).cast(pa.string())
        digits: Any = pc.utf8_length(number)
        characters = size.to_numpy(zero_copy_only=False)[self.key] + digits.to_numpy(zero_copy_only=False) + 2
        counted = np.zeros(self.rows, dtype=np.int64)
        np.add.at(counted, self.row, characters)
        return np.asarray(counted > MOST_CHARACTERS, dtype=np.bool_)

    def texts(self, too_many: Bools) -> pa.Array[Any]:
        """Each row's entries as the text of a tile."""
        number: Any = pa.array(self.number).cast(pa.string())
        begin: Any = pa.array(self.begin.astype(np.int32))
        entry: Any = pc.binary_join_element_wise(number, escaped(self.keys).take(pa.array(self.key)), " ")
        joined: Any = pc.binary_join(pa.ListArray.from_arrays(begin, entry), ",")
        large: Any = pa.array(too_many)
        none: Any = pa.array(np.diff(self.begin) == 0)
        texts: pa.Array[Any] = pc.if_else(none, pa.scalar(None, pa.string()), pc.if_else(large, pa.scalar(TOO_LARGE), joined))
        return texts


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The texts of all rows' tiles, not yet merged.

    Attributes:
        operation: Merges the numbers of one sub-key; None keeps every entry.
        condensed: Whether tiles may be many, merged into one, so that nothing but the bound of a tile bounds the merged maps.
        unknown: bool[rows], which have a tile whose entries were too many.
    """

    operation: np.ufunc | None
    condensed: bool
    rows: int
    row: Int64s
    word: Int64s
    lengths: Int64s
    entries: Entries
    unknown: Bools

    @classmethod
    def of(
        cls, operation: np.ufunc | None, values: Values, entries: Entries, *, rows: int, row: Int64s, tile: Int64s, condensed: bool
    ) -> Gathered:
        """Gather the texts.

        Args:
            operation: See the class.
            values: The tile column.
            entries: Of its `words`.
            rows: How many rows there are.
            row: int64[k], ascending: the row of each gathered tile.
            tile: int64[k], which tile that is.
            condensed: See the class.
        """
        if values.valid is not None:
            there = values.valid[tile]
            row, tile = row[there], tile[there]
        word = values.numbers[tile]
        unknown = np.zeros(rows, dtype=np.bool_)
        if entries.refused >= 0:
            there = word != entries.refused
            unknown[row[~there]] = True
            row, word = row[there], word[there]
        lengths = np.diff(entries.offsets)[word]
        return cls(
            operation=operation, condensed=condensed, rows=rows, row=row, word=word, lengths=lengths, entries=entries, unknown=unknown
        )

    def pieces(self) -> Iterator[Merged]:
        """Some rows after the others, one piece at least, so that memory is bounded."""
        done = np.zeros(self.rows + 1, dtype=np.int64)
        np.add.at(done, self.row + 1, self.lengths)
        ends, begin, first = np.cumsum(done), 0, True
        while begin < self.rows or first:
            end = min(self.rows, max(begin + 1, int(np.searchsorted(ends, ends[begin] + _CHUNK_ENTRIES, side="right")) - 1))
            low, high = np.searchsorted(self.row, (begin, end))
            own, word, lengths = self.row[low:high] - begin, self.word[low:high], self.lengths[low:high]
            yield self._merged(rows=end - begin, row=own, word=word, lengths=lengths)
            begin, first = end, False

    def _merged(self, *, rows: int, row: Int64s, word: Int64s, lengths: Int64s) -> Merged:
        """One entry for each row and sub-key, or every entry."""
        entries = self.entries
        offsets = np.cumsum(lengths) - lengths
        position = np.repeat(entries.offsets[word] - offsets, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)
        size = max(1, len(entries.keys))
        if self.operation is None:
            every = np.repeat(row, lengths)
            return Merged(rows=rows, row=every, key=entries.key[position], number=entries.number[position], keys=entries.keys)
        composite: Int64s = np.repeat(row, lengths) * size + entries.key[position]
        order = np.argsort(composite, kind="stable")
        composite, number = composite[order], entries.number[position][order]
        first = np.flatnonzero(np.diff(composite, prepend=-1))
        number = self.operation.reduceat(number, first) if len(first) else number
        return Merged(rows=rows, row=composite[first] // size, key=composite[first] % size, number=number, keys=entries.keys)
