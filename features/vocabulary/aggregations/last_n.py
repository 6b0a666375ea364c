"""The last few values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from features.partials.latest import LATEST, LatestPartial
from features.vocabulary.aggregation import NO_PORTABLE_TEXT, TEXT, Aggregation, Example, is_whole
from schemas.types import DataType


@dataclass(frozen=True)
class LastN(Aggregation):
    """The last n values by event time: features `<name>_1` (the last) to `<name>_<n>`, null where there are fewer. Exact.

    Equal event times are ordered by value, the largest first.

    Attributes:
        n: How many, 1 to 100.
    """

    n: int = 3

    parts = (LatestPartial,)
    finish = LATEST
    input_types = TEXT | {DataType.FLOAT64}
    rejections = NO_PORTABLE_TEXT
    examples = (
        Example(of=(1, 2, None, 3), makes={"_1": 3, "_2": 2}, arguments={"n": 2}),
        Example(of=("a,\\b",), makes={"_1": "a,\\b", "_2": None}, arguments={"n": 2}),
    )

    @property
    def problem(self) -> str | None:
        """See `Aggregation.problem`."""
        return None if is_whole(self.n, 1, 100) else f"n={self.n!r}; allowed is a whole number from 1 to 100"

    @property
    def parameter(self) -> int | None:
        """How many values a tile keeps."""
        return self.n

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {f"_{place}": place for place in range(1, self.n + 1)}
