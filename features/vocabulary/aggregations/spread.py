"""How far values lie apart."""

from __future__ import annotations

from dataclasses import dataclass

from features.partials.moments import STDDEV, VARIANCE, MomentsPartial
from features.vocabulary.aggregation import Aggregation
from schemas.types import DataType


@dataclass(frozen=True)
class Variance(Aggregation):
    """The variance of the sample (n − 1), a double. Null below two values."""

    parts = (MomentsPartial,)
    finish = VARIANCE
    output_type = DataType.FLOAT64


@dataclass(frozen=True)
class StdDev(Aggregation):
    """The standard deviation of the sample (n − 1), a double. Null below two values."""

    parts = (MomentsPartial,)
    finish = STDDEV
    output_type = DataType.FLOAT64
