"""What every aggregation of the vocabulary is, and the spans of time that one is taken over. To add an aggregation: one file in `aggregations/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import ClassVar, NoReturn

from features.expressions.expression import Expression
from features.partials.finish import VALUE, Finish
from features.partials.partial import Partial
from schemas.errors import DefinitionError
from schemas.types import DataType

NUMBERS = frozenset({DataType.INT64, DataType.FLOAT64})
ORDERED = NUMBERS | {DataType.TIMESTAMP, DataType.STRING}
ANY = ORDERED | {DataType.BOOLEAN}
TEXT = frozenset({DataType.STRING, DataType.INT64, DataType.BOOLEAN})
NO_PORTABLE_TEXT = {
    DataType.FLOAT64: "engines write a double as different texts; round it to whole units or cut it into named ranges with CASE",
    DataType.TIMESTAMP: "take a part of it, e.g. HOUR(…)",
}


@dataclass(frozen=True, kw_only=True)
class Example:
    """What an aggregation makes of some values, for people to read and for tests to hold it to.

    Attributes:
        of: The values of events in the order of time, None where null. The aggregation's input is `v`.
        makes: The feature's value; of an aggregation with several features the end of the name → value.
        arguments: Of the aggregation, beside its input.
    """

    of: Sequence[bool | int | float | str | None]
    makes: bool | int | float | str | Mapping[str, object] | None
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What an aggregation is written over, parsed and typed."""

    value: Expression | None
    where: Expression | None
    tie: Expression | None


@dataclass(frozen=True)
class Aggregation:
    """Summarises the events of a window into one value; null inputs are skipped.

    Attributes:
        input: An expression over the source's columns, e.g. `"dep_delay"` or `"arr_delay - dep_delay"`.
        where: Only events for which this expression is TRUE are aggregated.
        parts: The kinds of partial that tiles keep for it; merged over the window and finished by `finish`.
        input_types: The types of input that it is defined for.
        output_type: The type of the value; `None` is the type of the input.
        rejections: Why a type that one might expect is not accepted.
        examples: One at least.
    """

    input: str
    _: KW_ONLY
    where: str | None = None

    parts: ClassVar[tuple[type[Partial], ...]]
    finish: ClassVar[Finish] = VALUE
    input_types: ClassVar[frozenset[DataType]] = NUMBERS
    output_type: ClassVar[DataType | None] = None
    rejections: ClassVar[Mapping[DataType, str]] = {}
    examples: ClassVar[Sequence[Example]]

    @property
    def parameter(self) -> int | None:
        """What the tile's partial depends on besides its input."""
        return None

    @property
    def problem(self) -> str | None:
        """Why its arguments cannot be; None if they can."""
        return None

    @property
    def outputs(self) -> Mapping[str, int | float | str | None]:
        """What is added to the feature's name → argument of `finish`; every feature is one scalar, which any model can take."""
        return {"": None}

    def partials(self, inputs: Inputs) -> tuple[Partial, ...]:
        """What tiles keep for it, one of each of its `parts`."""
        return tuple(part.of(inputs.value, where=inputs.where, tie=inputs.tie, parameter=self.parameter) for part in self.parts)

    def over(self, window: timedelta, *, hop: timedelta | None = None) -> Windowed:
        """This aggregation over the last `window`, a multiple of the view's tile.

        Args:
            window: How long it is.
            hop: A multiple of the tile, at which the window begins: as of t it covers `[floor((b − window) / hop) · hop, b)`, so its head moves
                with the tile and its tail with the hop. The hops of a view divide one another. None: the tile, that is exact sliding.
        """
        return Windowed(aggregation=self, window=window, hop=hop)


@dataclass(frozen=True)
class Feature:
    """An aggregation over a span of time, as a feature view names it."""

    aggregation: Aggregation


@dataclass(frozen=True, kw_only=True)
class Windowed(Feature):
    """An aggregation over a window."""

    window: timedelta
    hop: timedelta | None = None


@dataclass(frozen=True)
class Lifetime(Feature):
    """An aggregation over all events of a key since ever: `Lifetime(Count())`. Null or 0 of nothing, as over a window.

    As of t it counts what happened before `b`, as windows do. Online it is exact as far back as the store was given tiles
    (`tidemark bootstrap` gives it those of history). Maps (TopK, CategoryCounts, CountDistinct, Quantile) are null once their entries
    are more than one tile may keep.
    """

    @property
    def problem(self) -> str | None:
        """Why its argument cannot be; None if it can."""
        given: object = self.aggregation
        if isinstance(given, Lifetime):
            return "Lifetime of a Lifetime is the same; write Lifetime once"
        if isinstance(given, Windowed):
            return f"Lifetime has no window; write Lifetime({type(given.aggregation).__name__}(…)) without .over, or .over without Lifetime"
        return None if isinstance(given, Aggregation) else f"Lifetime takes an aggregation, e.g. Lifetime(Count()), got {given!r}"

    def over(self, window: timedelta, *, hop: timedelta | None = None) -> NoReturn:
        """Refused.

        Raises:
            DefinitionError: Always.
        """
        raise DefinitionError("Lifetime has no window; write Lifetime(…) without .over, or .over without Lifetime")


def is_whole(value: object, least: int, most: int) -> bool:
    """Whether an argument is a whole number of a range."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: object, least: float, most: float) -> bool:
    """Whether an argument is a number of a range."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
