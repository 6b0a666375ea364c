"""How often each of some values occurs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from features.partials.tally import CATEGORY, TallyPartial
from features.vocabulary.aggregation import NO_PORTABLE_TEXT, TEXT, Aggregation, Example
from schemas.types import DataType

_CATEGORY = re.compile("[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*")


@dataclass(frozen=True)
class CategoryCounts(Aggregation):
    """How often each of some values occurs: features `<name>_<category>`, 0 of nothing. Exact; all of them share one partial.

    Attributes:
        categories: The values; or end of the feature's name → value, where a value cannot be part of a name.
    """

    categories: Sequence[str] | Mapping[str, str] = ()

    parts = (TallyPartial,)
    finish = CATEGORY
    input_types = TEXT
    output_type = DataType.INT64
    rejections = NO_PORTABLE_TEXT
    examples = (Example(of=("a", "b", None, "a"), makes={"_a": 2, "_c": 0}, arguments={"categories": ("a", "c")}),)

    @property
    def problem(self) -> str | None:
        """See `Aggregation.problem`."""
        given = self.categories
        if isinstance(given, str) or not isinstance(given, Mapping | Sequence) or not 1 <= len(given) <= 1_000:
            return f"categories={given!r}; allowed are 1 to 1000 values, or a mapping of name → value"
        for name, value in self._named.items():
            if not isinstance(value, str) or not isinstance(name, str) or not _CATEGORY.fullmatch(name):
                return f"category {name!r} cannot end a name (ASCII letters, digits, single underscores); give a mapping of name → value"
        return "names a category twice" if len({str(name).lower() for name in self._named}) < len(given) else None

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {f"_{name}": value for name, value in self._named.items()}

    @property
    def _named(self) -> Mapping[str, str]:
        return self.categories if isinstance(self.categories, Mapping) else {value: value for value in self.categories}
