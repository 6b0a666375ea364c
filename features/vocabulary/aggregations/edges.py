"""The first and the last by event time."""

from __future__ import annotations

from dataclasses import dataclass

from features.partials.edges import FirstPartial, LastPartial
from features.vocabulary.aggregation import ANY, Aggregation, Example


@dataclass(frozen=True)
class First(Aggregation):
    """The value of the earliest event that has one. Null of nothing.

    Attributes:
        tie: Breaks equal event times: the smallest wins, then the smallest value.
    """

    tie: str | None = None

    parts = (FirstPartial,)
    input_types = ANY
    examples = (
        Example(of=(None, "b", "a"), makes="b"),
        Example(of=(None,), makes=None),
    )


@dataclass(frozen=True)
class Last(Aggregation):
    """The value of the latest event that has one. Null of nothing.

    Attributes:
        tie: Breaks equal event times: the largest wins, then the largest value.
    """

    tie: str | None = None

    parts = (LastPartial,)
    input_types = ANY
    examples = (
        Example(of=("b", "a", None), makes="a"),
        Example(of=(None,), makes=None),
    )
