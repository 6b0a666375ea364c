"""How merged partials become the value of a feature. What reads one kind of partial stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from features.columns.values import present
from features.partials.opcodes import FinishCode
from schemas.types import DataType


class Finished(Protocol):
    """A feature, as far as its value depends on it."""

    @property
    def name(self) -> str:
        """Of the feature."""
        ...

    @property
    def finish(self) -> Finish:
        """How it is finished."""
        ...

    @property
    def type(self) -> DataType:
        """Of the value."""
        ...

    @property
    def argument(self) -> int | float | str | None:
        """Of the finish."""
        ...


@dataclass(frozen=True)
class Finish:
    """A way to finish.

    Attributes:
        name: In plans and fingerprints.
        values: (the feature, what each of its partials merged to) → the value of each row.
        compiled: The same in compiled code, if that can.
    """

    name: str
    values: Callable[[Finished, Sequence[Any]], pa.Array[Any]]
    compiled: FinishCode | None = None


def _value(feature: Finished, merged: Sequence[Any]) -> pa.Array[Any]:
    (values,) = merged
    found: pa.Array[Any] = values.arrow(feature.type)
    return found


def _ratio(feature: Finished, merged: Sequence[Any]) -> pa.Array[Any]:
    part, count = merged
    return present(part.numbers / np.maximum(count.numbers, 1), count.numbers > 0, None).arrow(feature.type)


VALUE = Finish("value", _value, FinishCode.VALUE)
"""Count and sum (0 when empty), min, max, first, last (null when empty)."""

MEAN = Finish("mean", _ratio, FinishCode.RATIO)
"""Of a sum and a count; null when empty."""

SHARE = Finish("share", _ratio, FinishCode.RATIO)
"""Of a count with a condition and one without; null when empty."""
