"""Requests as they came, from records or as a table, and as Arrow only for whoever asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa

from features.columns.values import Bools, Int64s, Values
from schemas.types import DataType


class Requests:
    """n requests of a service, column by column."""

    def __init__(self, types: Mapping[str, DataType], count: int, lists: Mapping[str, Sequence[Any]]) -> None:
        """Take the fields as Python's values.

        Args:
            types: Field → type.
            count: n.
            lists: Field → n values, None where null; times as ms since the epoch.
        """
        self.types = types
        self._count = count
        self._lists = lists
        self._table: pa.Table | pa.RecordBatch | None = None

    @classmethod
    def of_table(cls, table: pa.Table | pa.RecordBatch, types: Mapping[str, DataType]) -> Self:
        """Take a table.

        Args:
            table: n rows; the fields are found by name, and have these types or what is read as them.
            types: Field → type.
        """
        found = cls(types, table.num_rows, {})
        found._table = table
        return found

    def __len__(self) -> int:
        return self._count

    def values(self, name: str) -> Sequence[Any]:
        """A field as Python's values, of a table's column as `to_pylist`."""
        if self._table is None:
            return self._lists[name]
        column = self._table.column(name)
        if column.null_count and pa.types.is_integer(column.type):
            return column.to_pylist()  # numpy would make doubles of them
        numbers: Any = column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
        listed: list[Any] = numbers.tolist()  # several times faster
        return listed

    def times_ms(self, name: str) -> Int64s | None:
        """A field of times, int64[n] ms since the epoch; None where one is null."""
        if self._table is None:
            times = self._lists[name]
            return None if None in times else np.array(times, dtype=np.int64)
        column = self._table.column(name)
        if column.null_count:
            return None
        if column.type != DataType.TIMESTAMP.arrow:
            return Values.of(column, DataType.TIMESTAMP).numbers
        times_of: Any = column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
        return np.asarray(times_of.view(np.int64))

    def bits(self, name: str) -> tuple[Int64s, Bools | None]:
        """A field that is no text: int64[n], as of `Block`, with −0.0 as it came; and which are there, None where all are."""
        values, double = self._lists.get(name), self.types[name] is DataType.FLOAT64
        if values is None:
            column = Values.of(self.table.column(name), self.types[name])
            numbers, valid = column.numbers, column.valid
        else:
            valid = np.array([value is not None for value in values], dtype=np.bool_) if None in values else None
            numbers = np.array(
                values if valid is None else [0 if value is None else value for value in values], dtype=np.float64 if double else np.int64
            )
        return numbers.view(np.int64) if double else numbers.astype(np.int64, copy=False), valid

    def array(self, name: str) -> pa.Array[Any] | pa.ChunkedArray[Any]:
        """A field as Arrow."""
        return pa.array(self._lists[name], type=self.types[name].arrow) if self._table is None else self._table.column(name)

    @cached_property
    def table(self) -> pa.Table | pa.RecordBatch:
        """As Arrow."""
        if self._table is not None:
            return self._table
        return pa.table({name: self.array(name) for name in self.types})

    def take(self, rows: Int64s) -> Requests:
        """Some of them."""
        if self._table is not None:
            return Requests.of_table(self._table.take(rows), self.types)
        chosen = rows.tolist()
        return Requests(self.types, len(chosen), {name: [values[row] for row in chosen] for name, values in self._lists.items()})
