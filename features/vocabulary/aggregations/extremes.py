"""The smallest and the largest."""

from __future__ import annotations

from dataclasses import dataclass

from features.partials.extremes import MaxPartial, MinPartial
from features.vocabulary.aggregation import ORDERED, Aggregation, Example


@dataclass(frozen=True)
class Min(Aggregation):
    """The smallest value. Null of nothing. Strings are ordered by their UTF-8 bytes."""

    parts = (MinPartial,)
    input_types = ORDERED
    examples = (
        Example(of=(2, None, 1), makes=1),
        Example(of=("ä", "b"), makes="b"),
        Example(of=(None,), makes=None),
    )


@dataclass(frozen=True)
class Max(Aggregation):
    """The largest value. Null of nothing. Strings are ordered by their UTF-8 bytes."""

    parts = (MaxPartial,)
    input_types = ORDERED
    examples = (
        Example(of=(2, None, 1), makes=2),
        Example(of=("ä", "b"), makes="ä"),
        Example(of=(None,), makes=None),
    )
