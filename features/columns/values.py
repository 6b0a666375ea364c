"""Columns of tiles as numbers that numpy can compare and add: what the kernel computes on, and the way back to Arrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.types import DataType

Int64s = NDArray[np.int64]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Values:
    """A column as numbers.

    Attributes:
        numbers: int64, float64 or uint8 (booleans); for strings the index into `words`. Anything where not valid.
        valid: Which are not null; `None` when all are.
        words: For strings: the distinct values, sorted by UTF-8 bytes, so that the numbers compare as the strings do.
    """

    numbers: NDArray[Any]
    valid: Bools | None = None
    words: pa.Array[Any] | None = None

    @classmethod
    def of(cls, array: pa.Array[Any] | pa.ChunkedArray[Any], type: DataType) -> Values:
        """Read an Arrow column of a portable type."""
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        valid = None if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False)
        numbers: pa.Array[Any]
        match type:
            case DataType.STRING:
                return ranked(array, valid)
            case DataType.BOOLEAN:
                numbers = array.cast(pa.uint8())
            case DataType.TIMESTAMP:
                numbers = (
                    array if array.type == type.arrow else array.cast(type.arrow if pa.types.is_timestamp(array.type) else pa.int64())
                ).view(pa.int64())
            case DataType.FLOAT64:
                numbers = array.cast(pa.float64())
            case _:
                numbers = array.cast(pa.int64())
        return cls(numbers=(numbers if valid is None else numbers.fill_null(0)).to_numpy(zero_copy_only=False), valid=valid)

    def filled(self, value: float) -> NDArray[Any]:
        """The numbers with `value` where null."""
        return self.numbers if self.valid is None else np.where(self.valid, self.numbers, np.asarray(value, self.numbers.dtype))

    def arrow(self, type: DataType) -> pa.Array[Any]:
        """The column as Arrow; −0.0 becomes 0.0."""
        mask = None if self.valid is None else ~self.valid
        match type:
            case DataType.FLOAT64:
                return pa.array(self.numbers + 0.0, type=pa.float64(), mask=mask)
            case DataType.BOOLEAN:
                return pa.array(self.numbers.astype(np.bool_), mask=mask)
            case DataType.STRING:
                assert self.words is not None
                return self.words.take(pa.array(self.numbers, mask=mask))
            case DataType.TIMESTAMP:
                return pa.array(self.numbers, type=pa.int64(), mask=mask).cast(type.arrow)
            case _:
                return pa.array(self.numbers, type=pa.int64(), mask=mask)


def ranked(array: pa.Array[Any], valid: Bools | None) -> Values:
    """Read strings as ranks in their sorted distinct values (Arrow and both engines compare UTF-8 bytes)."""
    encoded = array.cast(pa.string()).dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order.to_numpy()] = np.arange(len(order))
    codes = encoded.indices if valid is None else encoded.indices.fill_null(0)
    numbers = rank[codes.to_numpy(zero_copy_only=False)] if len(rank) else np.zeros(len(array), dtype=np.int64)
    return Values(numbers=numbers, valid=valid, words=encoded.dictionary.take(order))


def present(numbers: NDArray[Any], found: Bools, words: pa.Array[Any] | None) -> Values:
    """Values with null where nothing was found."""
    if found.all():
        return Values(numbers=numbers, words=words)
    return Values(numbers=np.where(found, numbers, np.zeros((), numbers.dtype)), valid=found, words=words)
