"""A tile as a record of fixed width, as the store keeps it.

u32 length of what follows the head, i64 tile start, i64 revision; then the null bitmap (least bit first, set = null) and each column in order: int64,
timestamp and float64 as 8 bytes, boolean as 1. Little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from features.columns.column import Column
from schemas.types import DataType

RECORD = struct.Struct("<Iqq")
"""Of a record, ahead of its payload."""
START = 4
"""Where in it the tile's start is."""
FORMATS = {DataType.INT64: "<i8", DataType.TIMESTAMP: "<i8", DataType.FLOAT64: "<f8", DataType.BOOLEAN: "u1"}


def bitmap_bytes(columns: Sequence[Column]) -> int:
    """The size of the null bitmap."""
    return (len(columns) + 7) // 8


def record_of(columns: Sequence[Column]) -> np.dtype[Any] | None:
    """A record as a numpy structure, its columns `c0`, `c1`, …; None where a string makes the width vary."""
    if any(column.type is DataType.STRING for column in columns):
        return None
    head = [("length", "<u4"), ("start", "<i8"), ("revision", "<i8"), ("nulls", "u1", (bitmap_bytes(columns),))]
    return np.dtype(head + [(f"c{i}", FORMATS[column.type]) for i, column in enumerate(columns)])
