"""How Spark is to read a Parquet file so that it reads what `schemas.accepted` says, by what the file tells of itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import types as T  # noqa: N812 - as in Spark's own documentation

from schemas.field import Field
from schemas.parquet import ParquetFile
from schemas.types import DataType

_SPARK_MS = (1 << 63) // 1_000 - 1  # Spark holds times in µs, and ends a job with those that are none
_WHOLE_DOUBLES = 1 << 53  # up to here each whole number is a double


@dataclass(frozen=True, kw_only=True)
class Physical:
    """How a Parquet file stores a column: what Spark should read it as, and of a finer time how much is cut."""

    read: T.DataType
    per_millisecond: int = 1


Layout = tuple[tuple[str, Physical | None], ...]
"""Per field: how it is stored; None where the file lacks it."""


def layout_of(file: ParquetFile, fields: Sequence[Field]) -> Layout | None:
    """How Spark is to read a file that was checked; None where it would not read the same as Arrow."""
    layout: list[tuple[str, Physical | None]] = []
    for field in fields:
        if field.name in file.folders:
            return None
        physical = _physical(file, field) if field.name in file.columns.names else None
        if physical is None and field.name in file.columns.names:
            return None
        layout.append((field.name, physical))
    return tuple(layout)


def _physical(file: ParquetFile, field: Field) -> Physical | None:
    column = file.metadata.schema.column(file.leaf(field.name))
    physical, logical = column.physical_type, column.logical_type.type
    whole = physical in ("INT32", "INT64") and logical in ("NONE", "INT") and str(column.converted_type) != "UINT_64"
    match field.type:
        case DataType.INT64 if whole:
            return Physical(read=T.LongType())
        case DataType.FLOAT64 if physical in ("FLOAT", "DOUBLE") and logical == "NONE":
            return Physical(read=T.FloatType() if physical == "FLOAT" else T.DoubleType())
        case DataType.FLOAT64 if whole and (physical == "INT32" or _within(file, field.name, -_WHOLE_DOUBLES, _WHOLE_DOUBLES)):
            return Physical(read=T.LongType())
        case DataType.BOOLEAN if physical == "BOOLEAN":
            return Physical(read=T.BooleanType())
        case DataType.STRING if logical == "STRING":
            return Physical(read=T.StringType())
        case DataType.TIMESTAMP if physical == "INT96" and file.unit_of_int96 == "ms":
            return Physical(read=T.TimestampType(), per_millisecond=1_000_000)
        case DataType.TIMESTAMP if logical == "TIMESTAMP":
            time = json.loads(column.logical_type.to_json())
            per_millisecond = {"milliseconds": 1, "microseconds": 1_000, "nanoseconds": 1_000_000}[time["timeUnit"]]
            if per_millisecond == 1 and _beyond(file, field.name, _SPARK_MS):
                return None
            if per_millisecond == 1_000_000:
                return Physical(read=T.LongType(), per_millisecond=per_millisecond)
            return Physical(read=T.TimestampType() if time["isAdjustedToUTC"] else T.TimestampNTZType(), per_millisecond=per_millisecond)
        case _:
            return None


def _within(file: ParquetFile, name: str, low: int, high: int) -> bool:
    """Whether a column's statistics say that all its values are within `[low, high]`."""
    known = file.range_of(name)
    return known is not None and low <= known[0] and known[1] <= high


def _beyond(file: ParquetFile, name: str, most: int) -> bool:
    """Whether a column's statistics say that a value is beyond `±most`."""
    known = file.range_of(name)
    return known is not None and not -most <= known[0] <= known[1] <= most
