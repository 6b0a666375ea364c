"""The sum of the values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from features.columns.tile_table import TileIndex, Tiles, WindowTiles
from features.columns.values import Int64s, Values, present
from features.partials.opcodes import MergeCode
from features.partials.partial import Partial
from schemas.types import DataType


class SumPartial(Partial):
    """Σx, int64 (wraps) or double."""

    kind = "sum"
    compiled = MergeCode.TOTAL

    def aggregates(self, value: str, pivot: str) -> Mapping[str, str]:
        """SUM."""
        return {self.name: f"SUM({value})"}

    def prepare(self, values: pa.Array[Any], time_ms: Int64s, tie: pa.Array[Any] | None) -> Mapping[str, pa.Array[Any]]:
        """The value."""
        return {self.name: values}

    def merge(self, tiles: Tiles, index: TileIndex, window: WindowTiles, *, condensed: bool) -> Values:
        """Sums added up; 0 of nothing."""
        return window.total(tiles.columns[self.name])

    def condense(self, tiles: Tiles, index: TileIndex, window: WindowTiles) -> Mapping[str, Values]:
        """As `merge`, null of nothing, as in a tile."""
        values = tiles.columns[self.name]
        return {self.name: present(window.total(values).numbers, window.any(values.valid), None)}

    @property
    def rounded(self) -> frozenset[str]:
        """A sum of doubles."""
        return frozenset({self.name} if self.type is DataType.FLOAT64 else ())
