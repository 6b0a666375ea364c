"""The value types that records, tiles and features share, and what each is called in every engine."""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa

YEAR_1_MS, YEAR_10000_MS = -62_135_596_800_000, 253_402_300_800_000
"""The instants that records may hold: `[year 1, year 10000)`."""


class DataType(StrEnum):
    """A portable value type. Timestamps are milliseconds since the epoch in UTC."""

    BOOLEAN = "boolean"
    INT64 = "int64"
    FLOAT64 = "float64"
    STRING = "string"
    TIMESTAMP = "timestamp"
    BYTES = "bytes"

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of a column of this type."""
        return _ARROW[self]

    @property
    def flink(self) -> str:
        """The Flink SQL type."""
        return _FLINK[self]

    @property
    def spark(self) -> str:
        """The Spark SQL type."""
        return _SPARK[self]

    @property
    def is_numeric(self) -> bool:
        """Whether sums and means are defined."""
        return self in (DataType.INT64, DataType.FLOAT64)


_ARROW: dict[DataType, pa.DataType] = {
    DataType.BOOLEAN: pa.bool_(),
    DataType.INT64: pa.int64(),
    DataType.FLOAT64: pa.float64(),
    DataType.STRING: pa.string(),
    DataType.TIMESTAMP: pa.timestamp("ms", tz="UTC"),
    DataType.BYTES: pa.binary(),
}
_FLINK = {
    DataType.BOOLEAN: "BOOLEAN",
    DataType.INT64: "BIGINT",
    DataType.FLOAT64: "DOUBLE",
    DataType.STRING: "STRING",
    DataType.TIMESTAMP: "TIMESTAMP_LTZ(3)",
    DataType.BYTES: "BYTES",
}
_SPARK = {
    DataType.BOOLEAN: "BOOLEAN",
    DataType.INT64: "BIGINT",
    DataType.FLOAT64: "DOUBLE",
    DataType.STRING: "STRING",
    DataType.TIMESTAMP: "TIMESTAMP",
    DataType.BYTES: "BINARY",
}
