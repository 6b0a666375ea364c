"""The aggregations whose tiles keep a map, of values to counts or the like: see `features.kernel.map_partials`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from features.plan import Finish, PartialKind
from features.vocabulary.aggregations import Aggregation
from schemas.types import DataType

_TEXT = frozenset({DataType.STRING, DataType.INT64, DataType.BOOLEAN})
_NO_PORTABLE_TEXT = {
    DataType.FLOAT64: "engines write a double as different texts; round it to whole units or cut it into named ranges with CASE",
    DataType.TIMESTAMP: "take a part of it, e.g. HOUR(…)",
}
_CATEGORY = re.compile("[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*")


@dataclass(frozen=True)
class TopK(Aggregation):
    """The k most frequent values, as text: features `<name>_1` to `<name>_<k>`, null where there are fewer. Exact: tiles keep all counts.

    Equal counts are ordered by value, by the UTF-8 bytes of the text.

    Attributes:
        k: How many, 1 to 100.
    """

    k: int = 3

    parts = (PartialKind.TALLY,)
    finish = Finish.TOP
    input_types = _TEXT
    output_type = DataType.STRING
    rejections = _NO_PORTABLE_TEXT

    @property
    def problem(self) -> str | None:
        """See `Aggregation.problem`."""
        return None if _is_whole(self.k, 1, 100) else f"k={self.k!r}; allowed is a whole number from 1 to 100"

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {f"_{rank}": rank for rank in range(1, self.k + 1)}


@dataclass(frozen=True)
class CategoryCounts(Aggregation):
    """How often each of some values occurs: features `<name>_<category>`, 0 of nothing. Exact; all of them share one partial.

    Attributes:
        categories: The values; or end of the feature's name → value, where a value cannot be part of a name.
    """

    categories: Sequence[str] | Mapping[str, str] = ()

    parts = (PartialKind.TALLY,)
    finish = Finish.CATEGORY
    input_types = _TEXT
    output_type = DataType.INT64
    rejections = _NO_PORTABLE_TEXT

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


@dataclass(frozen=True)
class LastN(Aggregation):
    """The last n values by event time: features `<name>_1` (the last) to `<name>_<n>`, null where there are fewer. Exact.

    Equal event times are ordered by value, the largest first.

    Attributes:
        n: How many, 1 to 100.
    """

    n: int = 3

    parts = (PartialKind.LATEST,)
    finish = Finish.LATEST
    input_types = _TEXT | {DataType.FLOAT64}
    rejections = _NO_PORTABLE_TEXT

    @property
    def problem(self) -> str | None:
        """See `Aggregation.problem`."""
        return None if _is_whole(self.n, 1, 100) else f"n={self.n!r}; allowed is a whole number from 1 to 100"

    @property
    def parameter(self) -> int | None:
        """How many values a tile keeps."""
        return self.n

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {f"_{place}": place for place in range(1, self.n + 1)}


@dataclass(frozen=True)
class CountDistinct(Aggregation):
    """About how many distinct values, int64: HyperLogLog with 4096 registers, standard error 1.63 %. 0 of nothing.

    The hash is the first 64 bits of MD5 of the value's UTF-8 text (integers in decimal, booleans as true and false).
    """

    parts = (PartialKind.REGISTERS,)
    finish = Finish.DISTINCT
    input_types = _TEXT
    output_type = DataType.INT64
    rejections = _NO_PORTABLE_TEXT


@dataclass(frozen=True)
class Quantile(Aggregation):
    """A value within `accuracy` (relative) of the element at rank floor(q · (n − 1)) of the sorted values, a double. Null of nothing.

    After DDSketch (Masson, Rim, Lee 2019) with the linearly interpolated mapping. Numbers nearer to 0 than the smallest normal double are 0.

    Attributes:
        q: 0 to 1, e.g. 0.95.
        accuracy: 0.0001 to 0.5; smaller needs more buckets in each tile.
    """

    q: float = 0.5
    accuracy: float = 0.01

    parts = (PartialKind.BUCKETS,)
    finish = Finish.QUANTILE
    output_type = DataType.FLOAT64

    @property
    def problem(self) -> str | None:
        """See `Aggregation.problem`."""
        if not _is_number(self.q, 0, 1):
            return f"q={self.q!r}; allowed is a number from 0 to 1"
        return None if _is_number(self.accuracy, 0.0001, 0.5) else f"accuracy={self.accuracy!r}; allowed is a number from 0.0001 to 0.5"

    @property
    def parameter(self) -> int | None:
        """Buckets of an octave: a power of two, so that all arithmetic is exact, with 1 / (2n + 1) ≤ accuracy."""
        return int(2 ** math.ceil(math.log2(max((1 / self.accuracy - 1) / 2, 1))))

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """See `Aggregation.outputs`."""
        return {"": float(self.q)}


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
