"""How many."""

from __future__ import annotations

from dataclasses import dataclass

from features.partials.count import CountPartial
from features.vocabulary.aggregation import ANY, Aggregation, Example
from schemas.types import DataType


@dataclass(frozen=True)
class Count(Aggregation):
    """How many events; with an input, how many where it is not null. 0 of nothing."""

    input: str | None = None  # type: ignore[assignment]  # it can do without

    parts = (CountPartial,)
    input_types = ANY
    output_type = DataType.INT64
    examples = (
        Example(of=("a", None, "b"), makes=2),
        Example(of=(None,), makes=0),
    )
