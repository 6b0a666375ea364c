"""Requests as they came, from records or as a table, and as Arrow only for whoever asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa

from features.columns.values import Int64s, Values
from schemas.arrow_numbers import whole
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
    def of_table(cls, table: pa.Table | pa.RecordBatch) -> Self:
        """Take a table; its columns have the types that are asked for, or what is read as these."""
        found = cls({}, table.num_rows, {})
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

    @cached_property
    def arrays(self) -> dict[str, pa.Array[Any]]:
        """Field → array of n."""
        if self._table is not None:
            return dict(zip(self._table.schema.names, map(whole, self._table.columns), strict=True))
        return {name: pa.array(self._lists[name], type=type_.arrow) for name, type_ in self.types.items()}

    @property
    def table(self) -> pa.Table | pa.RecordBatch:
        """As Arrow."""
        if self._table is None:
            self._table = pa.table(self.arrays)
        return self._table

    def take(self, rows: Int64s) -> Requests:
        """Some of them."""
        if self._table is not None:
            return Requests.of_table(self._table.take(rows))
        chosen = rows.tolist()
        return Requests(self.types, len(chosen), {name: [values[row] for row in chosen] for name, values in self._lists.items()})
