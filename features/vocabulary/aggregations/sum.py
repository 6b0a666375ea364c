"""The sum and the mean."""

from __future__ import annotations

from dataclasses import dataclass

from features.partials.count import CountPartial
from features.partials.finish import MEAN
from features.partials.partial import Partial
from features.partials.sum import SumPartial
from features.vocabulary.aggregation import Aggregation, Example, Inputs
from schemas.types import DataType


@dataclass(frozen=True)
class Sum(Aggregation):
    """The sum; int64 of int64 (wraps), double of double. 0 of nothing."""

    parts = (SumPartial,)
    examples = (
        Example(of=(1, None, 2), makes=3),
        Example(of=(0.5, 0.25), makes=0.75),
        Example(of=(None,), makes=0),
    )


@dataclass(frozen=True)
class Mean(Aggregation):
    """The mean, a double. Null of nothing."""

    parts = (SumPartial, CountPartial)
    finish = MEAN
    output_type = DataType.FLOAT64
    examples = (
        Example(of=(1, None, 2), makes=1.5),
        Example(of=(2**62, 2**62), makes=2.0**62),
        Example(of=(None,), makes=None),
    )

    def partials(self, inputs: Inputs) -> tuple[Partial, ...]:
        """The sum is of doubles: one of int64 would wrap."""
        assert inputs.value is not None
        return SumPartial.of(inputs.value.as_double(), where=inputs.where), CountPartial.of(inputs.value, where=inputs.where)
