"""Arrow's columns as numpy sees them, without a copy and without what Arrow's own conversions cost a column: most batches are of a few rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def whole(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """A column in one piece."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    joined: Any = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return joined  # type: ignore[no-any-return]  # its stubs say chunks again


def numbers(column: pa.Array[Any], kind: type[np.generic]) -> NDArray[Any]:
    """The numbers of a column that Arrow holds in that form, float64[n] or int64[n]; anything where null. Not to be written."""
    content: Any = column.buffers()[1]
    if content is None or not len(column):
        return np.zeros(len(column), dtype=kind)
    return np.frombuffer(content, dtype=kind, count=len(column), offset=column.offset * np.dtype(kind).itemsize)


def texts(column: pa.Array[Any]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Where each text of a column of strings begins, int64[n + 1] with the end, and the bytes of all, uint8[…]; of null, any or none."""
    buffers: Any = column.buffers()
    offsets, content = buffers[1:]
    if offsets is None or not len(column):
        return np.zeros(len(column) + 1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    begins = np.frombuffer(offsets, dtype=np.int32, count=len(column) + 1, offset=4 * column.offset).astype(np.int64)
    first, end = int(begins[0]), int(begins[-1])
    octets = np.zeros(0, dtype=np.uint8) if first == end else np.frombuffer(content, dtype=np.uint8, count=end - first, offset=first)
    return begins - first, octets
