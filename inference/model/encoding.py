"""Features as the matrix of numbers that a model sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.columns.block import Block
from schemas.arrow_numbers import numbers, whole
from schemas.errors import DataError
from schemas.types import DataType
from schemas.wording import cause

_PLAIN = {type_: type_.arrow for type_ in (DataType.FLOAT64, DataType.INT64, DataType.TIMESTAMP)}
"""What Arrow holds as the numbers that the matrix has."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Features → the matrix that LightGBM sees: names and types in order, and a number for each known category.

    Attributes:
        types: Feature name → type, in the order of the columns.
        categories: For every string feature its known values; the position is the number. Others, and null, are missing.
    """

    types: Mapping[str, DataType]
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, types: Mapping[str, DataType], table: pa.Table) -> Encoding:
        """The encoding of the categories that a training set has."""
        strings = [name for name, type_ in types.items() if type_ is DataType.STRING]
        found = {name: tuple(sorted(str(value) for value in pc.unique(table[name]).to_pylist() if value is not None)) for name in strings}
        return cls(types=types, categories=found)

    @property
    def categorical(self) -> list[int]:
        """The positions of the categorical columns."""
        return [position for position, name in enumerate(self.types) if name in self.categories]

    @cached_property
    def _known(self) -> dict[str, pa.Array[Any]]:
        return {name: pa.array(values, type=pa.string()) for name, values in self.categories.items()}

    def matrix_of(self, block: Block) -> NDArray[np.float64]:
        """As `matrix`, of columns that are numbers already, in any order.

        Raises:
            DataError: A feature is missing, or of another type.
        """
        if lacking := [name for name, type_ in self.types.items() if block.columns.types.get(name) is not type_]:
            raise DataError(f"features: no column {', '.join(lacking)} as the model needs it")
        found = block.numbers()
        for name, words in block.words.items():
            place, _ = block.columns.places[name]
            known: Any = pc.index_in(words, value_set=self._known[name])
            codes = known.cast(pa.float64()).fill_null(float("nan")).to_numpy(zero_copy_only=False)
            valid = block.valid[place]
            found[place, valid] = codes[block.bits[place, valid]]
        if block.columns.names != tuple(self.types):
            found = found[[block.columns.places[name][0] for name in self.types]]
        return np.ascontiguousarray(found.T)

    def matrix(self, table: pa.Table | pa.RecordBatch) -> NDArray[np.float64]:
        """float64[rows, columns]; null is NaN, a boolean 0 or 1, a timestamp ms since the epoch.

        Raises:
            DataError: A feature is missing, or of a type that cannot be encoded.
        """
        columns: dict[str, Any] = dict(zip(table.schema.names, table.columns, strict=True))
        if missing := [name for name in self.types if name not in columns]:
            raise DataError(f"features: no column {', '.join(missing)}; the model needs {', '.join(self.types)}")
        matrix = np.empty((table.num_rows, len(self.types)), dtype=np.float64)
        for position, (name, type_) in enumerate(self.types.items()):
            try:
                matrix[:, position] = self._numbers(whole(columns[name]), name, type_)
            except pa.ArrowException as error:
                raise DataError(f'features: column "{name}" cannot be read as {type_}: {cause(error)}') from error
        return matrix

    def _numbers(self, column: Any, name: str, type_: DataType) -> NDArray[Any]:
        """As doubles, or as whole numbers, which the matrix makes doubles of."""
        if column.type == _PLAIN.get(type_) and not column.null_count:
            return numbers(column, np.float64 if type_ is DataType.FLOAT64 else np.int64)
        if type_ is DataType.STRING:
            column = pc.index_in(column.cast(pa.string()), value_set=self._known[name])
        elif type_ is DataType.TIMESTAMP:
            column = column.cast(type_.arrow).cast(pa.int64())
        elif type_ is DataType.BOOLEAN:
            column = column.cast(pa.bool_()).cast(pa.uint8())
        if column.null_count or not (pa.types.is_float64(column.type) or pa.types.is_int64(column.type)):
            column = column.cast(pa.float64(), safe=False).fill_null(float("nan"))
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return values
