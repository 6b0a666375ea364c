"""How far values lie apart."""

from __future__ import annotations

from dataclasses import dataclass

from features.partials.moments import STDDEV, VARIANCE, MomentsPartial
from features.vocabulary.aggregation import Aggregation, Example
from schemas.types import DataType


@dataclass(frozen=True)
class Variance(Aggregation):
    """The variance of the sample (n − 1), a double. Null below two values."""

    parts = (MomentsPartial,)
    finish = VARIANCE
    output_type = DataType.FLOAT64
    examples = (
        Example(of=(1, None, 3), makes=2.0),
        Example(of=(1e9, 1e9 + 1), makes=0.5),
        Example(of=(1,), makes=None),
    )


@dataclass(frozen=True)
class StdDev(Aggregation):
    """The standard deviation of the sample (n − 1), a double. Null below two values."""

    parts = (MomentsPartial,)
    finish = STDDEV
    output_type = DataType.FLOAT64
    examples = (
        Example(of=(1, None, 3, 5), makes=2.0),
        Example(of=(1,), makes=None),
    )
