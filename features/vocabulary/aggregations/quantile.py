"""A value by its rank."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from features.partials.buckets import QUANTILE, BucketsPartial
from features.vocabulary.aggregation import Aggregation, Example, is_number
from schemas.types import DataType


@dataclass(frozen=True)
class Quantile(Aggregation):
    """A value within `accuracy` (relative) of the element at rank floor(q · (n − 1)) of the sorted values, a double. Null of nothing.

    After DDSketch (Masson, Rim, Lee 2019) with the linearly interpolated mapping. Numbers nearer to 0 than the smallest normal double are 0.

    Attributes:
        q: 0 to 1, e.g. 0.95.
        accuracy: 0.0001 to 0.5; smaller needs more buckets in each tile.
    """

    q: float = 0.5
    accuracy: float = 0.01

    parts = (BucketsPartial,)
    finish = QUANTILE
    output_type = DataType.FLOAT64
    examples = (
        Example(of=(3, 1, None, 2), makes=2.0155038759689923),
        Example(of=(None,), makes=None),
    )

    @property
    def problem(self) -> str | None:
        """See `Aggregation.problem`."""
        if not is_number(self.q, 0, 1):
            return f"q={self.q!r}; allowed is a number from 0 to 1"
        return None if is_number(self.accuracy, 0.0001, 0.5) else f"accuracy={self.accuracy!r}; allowed is a number from 0.0001 to 0.5"

    @property
    def parameter(self) -> int | None:
        """Buckets of an octave: a power of two, so that all arithmetic is exact, with 1 / (2n + 1) ≤ accuracy."""
        return int(2 ** math.ceil(math.log2(max((1 / self.accuracy - 1) / 2, 1))))

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {"": float(self.q)}
