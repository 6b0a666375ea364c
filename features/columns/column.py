"""A physical column, and what it is in Arrow."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.types import DataType

TILE_START = "tile_start"
"""The column of a tile's start, beside its keys and partials."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A physical column of a tile. `None` (null) means that no event of the tile contributed."""

    name: str
    type: DataType


def engine_type(type_: DataType) -> pa.DataType:
    """What a column that is handed back to Spark has to be: it takes timestamps in µs only."""
    return pa.timestamp("us", tz="UTC") if type_ is DataType.TIMESTAMP else type_.arrow
