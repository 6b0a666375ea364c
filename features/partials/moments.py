"""Count, mean and spread: sums about a pivot, stable however far the mean is from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.columns.column import Column
from features.columns.tile_table import TileIndex, Tiles, WindowTiles
from features.columns.values import Int64s, Values, present
from features.expressions.expression import Expression
from features.partials.finish import Finish, Finished
from features.partials.opcodes import FinishCode, MergeCode
from features.partials.partial import Partial
from schemas.types import DataType


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Merged moments of each row, about a pivot."""

    count: Int64s
    pivot: NDArray[np.float64]
    s1: NDArray[np.float64]  # Σ(x − pivot)
    s2: NDArray[np.float64]  # Σ(x − pivot)²

    @property
    def squares(self) -> NDArray[np.float64]:
        """Σ(x − mean)²."""
        centred = np.maximum(self.s2 - self.s1 * self.s1 / np.maximum(self.count, 1), 0.0)
        beyond = ~np.isfinite(centred) & ~np.isnan(self.s1)  # the spread's square is beyond a double
        return np.where(beyond, np.inf, centred)


class MomentsPartial(Partial):
    """n, pivot (any double near the data), Σ(x − pivot), Σ(x − pivot)²."""

    kind = "moments"
    compiled = MergeCode.MOMENTS

    @classmethod
    def read(cls, value: Expression) -> Expression:
        """As a double."""
        return value.as_double()

    @property
    def type(self) -> DataType:
        """Always double."""
        return DataType.FLOAT64

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """As the class says."""
        return (
            Column(name=f"{self.name}__n", type=DataType.INT64),
            Column(name=f"{self.name}__pivot", type=DataType.FLOAT64),
            Column(name=f"{self.name}__s1", type=DataType.FLOAT64),
            Column(name=f"{self.name}__s2", type=DataType.FLOAT64),
        )

    @property
    def pivot_column(self) -> str | None:
        """The smallest value: near the data, and the same however the events arrive."""
        return f"{self.name}__pivot"

    def aggregates(self, value: str, pivot: str) -> Mapping[str, str]:
        """Count and pivot."""
        return {f"{self.name}__n": f"COUNT({value})", f"{self.name}__pivot": f"MIN({pivot})"}

    def pivot_aggregates(self, value: str, pivot: str) -> Mapping[str, str]:
        """The sums."""
        distance = f"({value} - {pivot})"
        return {f"{self.name}__s1": f"SUM({distance})", f"{self.name}__s2": f"SUM({distance} * {distance})"}

    def prepare(self, values: pa.Array[Any], time_ms: Int64s, tie: pa.Array[Any] | None) -> Mapping[str, pa.Array[Any]]:
        """One value, which is its own pivot."""
        nothing = pa.array(np.zeros(len(values)))
        ones = pa.array(np.ones(len(values), dtype=np.int64))
        return {f"{self.name}__n": ones, f"{self.name}__pivot": values, f"{self.name}__s1": nothing, f"{self.name}__s2": nothing}

    def merge(self, tiles: Tiles, index: TileIndex, window: WindowTiles, *, condensed: bool) -> Moments:
        """Merge moments about each tile's pivot into moments about the pivot of the row's first tile; where tiles may be many merged, about the row's own mean.

        With d = pivot − P: Σ(x − P) = s1 + n·d and Σ(x − P)² = s2 + 2·d·s1 + n·d², so nothing large is ever subtracted from
        something large unless the data themselves lie that far apart. After Chan, Golub, LeVeque (1979). The first values of a long time may
        lie far from the many that follow.
        """
        count = tiles.columns[f"{self.name}__n"].filled(0)[window.tile]
        used = count > 0
        gathered = (tiles.columns[f"{self.name}__{name}"].filled(0)[window.tile] for name in ("pivot", "s1", "s2"))
        pivot, s1, s2 = (np.where(used, numbers, 0.0) for numbers in gathered)
        first = window.reduce(np.minimum, np.where(used, np.arange(len(used)), len(used)), len(used))
        base = np.append(pivot, 0.0)[first]
        shift = np.where(used, pivot - window.spread(base), 0.0)
        total = window.reduce(np.add, count, 0)
        if condensed:
            mean = base + window.reduce(np.add, s1 + count * shift, 0.0) / np.maximum(total, 1)
            base = np.where(np.isfinite(mean), mean, base)
            shift = np.where(used, pivot - window.spread(base), 0.0)
        return Moments(
            count=total,
            pivot=base,
            s1=window.reduce(np.add, s1 + count * shift, 0.0),
            s2=window.reduce(np.add, s2 + 2 * shift * s1 + count * shift * shift, 0.0),
        )

    def condense(self, tiles: Tiles, index: TileIndex, window: WindowTiles) -> Mapping[str, Values]:
        """As `merge` of many; null of nothing, but for the count."""
        of = self.merge(tiles, index, window, condensed=True)
        there = of.count > 0
        parts = {"pivot": of.pivot, "s1": of.s1, "s2": of.s2}
        return {f"{self.name}__n": Values(numbers=of.count)} | {f"{self.name}__{n}": present(v, there, None) for n, v in parts.items()}

    @property
    def rounded(self) -> frozenset[str]:
        """The sums; count and pivot are exact."""
        return frozenset({f"{self.name}__s1", f"{self.name}__s2"})


def _variance(feature: Finished, merged: Sequence[Any]) -> pa.Array[Any]:
    (whole,) = merged
    return present(whole.squares / np.maximum(whole.count - 1, 1), whole.count > 1, None).arrow(feature.type)


def _stddev(feature: Finished, merged: Sequence[Any]) -> pa.Array[Any]:
    (whole,) = merged
    return present(np.sqrt(whole.squares / np.maximum(whole.count - 1, 1)), whole.count > 1, None).arrow(feature.type)


VARIANCE = Finish("variance", _variance, FinishCode.VARIANCE)
"""Of the sample; null below two values."""

STDDEV = Finish("stddev", _stddev, FinishCode.STDDEV)
"""Its square root."""
