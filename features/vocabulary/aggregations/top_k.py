"""The most frequent values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from features.partials.tally import TOP, TallyPartial
from features.vocabulary.aggregation import NO_PORTABLE_TEXT, TEXT, Aggregation, Example, is_whole
from schemas.types import DataType


@dataclass(frozen=True)
class TopK(Aggregation):
    """The k most frequent values, as text: features `<name>_1` to `<name>_<k>`, null where there are fewer. Exact: tiles keep all counts.

    Equal counts are ordered by value, by the UTF-8 bytes of the text.

    Attributes:
        k: How many, 1 to 100.
    """

    k: int = 3

    parts = (TallyPartial,)
    finish = TOP
    input_types = TEXT
    output_type = DataType.STRING
    rejections = NO_PORTABLE_TEXT
    examples = (
        Example(of=("b", "a", None, "a", "c"), makes={"_1": "a", "_2": "b"}, arguments={"k": 2}),
        Example(of=(7,), makes={"_1": "7", "_2": None}, arguments={"k": 2}),
    )

    @property
    def problem(self) -> str | None:
        """See `Aggregation.problem`."""
        return None if is_whole(self.k, 1, 100) else f"k={self.k!r}; allowed is a whole number from 1 to 100"

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {f"_{rank}": rank for rank in range(1, self.k + 1)}
