"""The smallest and the largest value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from features.columns.tile_table import TileIndex, Tiles, WindowTiles
from features.columns.values import Int64s, Values, present
from features.partials.opcodes import MergeCode
from features.partials.partial import Partial


class _Extreme(Partial):
    """The value itself; strings by their UTF-8 bytes. NaN, where a field may hold it, is larger than every number."""

    largest: ClassVar[bool]

    def aggregates(self, value: str, pivot: str) -> Mapping[str, str]:
        """MIN or MAX."""
        return {self.name: f"{self.kind.upper()}({value})"}

    def prepare(self, values: pa.Array[Any], time_ms: Int64s, tie: pa.Array[Any] | None) -> Mapping[str, pa.Array[Any]]:
        """The value."""
        return {self.name: values}

    def merge(self, tiles: Tiles, index: TileIndex, window: WindowTiles, *, condensed: bool) -> Values:
        """The smallest or largest of all; null of nothing."""
        values = tiles.columns[self.name]
        operation: np.ufunc = np.maximum if self.largest else np.fmin
        identity: float | int = -np.inf if self.largest else np.nan
        if values.numbers.dtype.kind != "f":
            limits = np.iinfo(values.numbers.dtype)
            identity = limits.min if self.largest else limits.max
        numbers = window.reduce(operation, values.filled(identity)[window.tile], identity)
        return present(numbers, window.any(values.valid), values.words)


class MinPartial(_Extreme):
    """The smallest value."""

    kind = "min"
    largest = False
    compiled = MergeCode.SMALLEST


class MaxPartial(_Extreme):
    """The largest value."""

    kind = "max"
    largest = True
    compiled = MergeCode.LARGEST
