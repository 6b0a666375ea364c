"""How many of how many."""

from __future__ import annotations

from dataclasses import dataclass

from features.partials.count import CountPartial
from features.partials.finish import SHARE
from features.partials.partial import Partial
from features.vocabulary.aggregation import ANY, Aggregation, Example, Inputs
from schemas.types import DataType


@dataclass(frozen=True)
class Share(Aggregation):
    """The share of events for which `where` is TRUE, a double; with an input, of those where it is not null. Null of nothing."""

    input: str | None = None  # type: ignore[assignment]  # as for Count

    parts = (CountPartial, CountPartial)
    finish = SHARE
    input_types = ANY
    output_type = DataType.FLOAT64
    examples = (
        Example(of=(1, 2, None, 3, 4), makes=0.75, arguments={"where": "v > 1"}),
        Example(of=(None,), makes=None, arguments={"where": "v > 1"}),
    )

    @property
    def problem(self) -> str | None:
        """See `Aggregation.problem`."""
        return "lacks where=, the condition whose share is asked for" if self.where is None else None

    def partials(self, inputs: Inputs) -> tuple[Partial, ...]:
        """The events for which the condition is TRUE, and all."""
        return CountPartial.of(inputs.value, where=inputs.where), CountPartial.of(inputs.value)
