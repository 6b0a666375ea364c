"""How many events, or how many have a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.tile_table import TileIndex, Tiles, WindowTiles
from features.columns.values import Int64s, Values
from features.partials.opcodes import MergeCode
from features.partials.partial import Partial
from schemas.types import DataType


class CountPartial(Partial):
    """n, never null."""

    kind = "count"
    needs_input = False
    compiled = MergeCode.TOTAL

    @property
    def type(self) -> DataType:
        """Always int64."""
        return DataType.INT64

    def aggregates(self, value: str, pivot: str) -> Mapping[str, str]:
        """COUNT."""
        return {self.name: f"COUNT({value})"}

    def prepare(self, values: pa.Array[Any], time_ms: Int64s, tie: pa.Array[Any] | None) -> Mapping[str, pa.Array[Any]]:
        """One of each event."""
        return {self.name: pa.array(np.ones(len(time_ms), dtype=np.int64))}

    def merge(self, tiles: Tiles, index: TileIndex, window: WindowTiles, *, condensed: bool) -> Values:
        """Counts added up; 0 of nothing."""
        return window.total(tiles.columns[self.name])
