"""DESIGN §3, Exactness, as code: which values of two engines must agree in every bit, which to 1e-12, and how far two columns lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.plan import ServicePlan, ViewPlan

RELATIVE_TOLERANCE = 1e-12
"""What another order of summation may change in a sum of doubles, and in what is made of one."""

Floats = NDArray[np.float64]


class Rule(StrEnum):
    """How well two engines must agree."""

    BITS = "every bit"
    SUMMATION = "1e-12"

    @property
    def allowed(self) -> float:
        """The largest relative difference that is none."""
        return 0.0 if self is Rule.BITS else RELATIVE_TOLERANCE


def feature_rules(service: ServicePlan) -> dict[str, Rule]:
    """The rule of every feature, in the order of the feature vector: those that add doubles may differ by their order.

    A derived one may not, beside the same function of the same values: what it makes of a last bit of its inputs has no bound.
    """
    rules = {feature.name: Rule.BITS for feature in service.request_features}
    for view in service.views:
        rules |= view_rules(view)
    return rules | dict.fromkeys((derived.name for derived in service.derived), Rule.BITS)


def view_rules(view: ViewPlan) -> dict[str, Rule]:
    """The rule of every feature of a view."""
    return {feature.name: _rule(any(partial.rounded for partial in feature.partials)) for feature in view.features}


def tile_rules(view: ViewPlan) -> dict[str, Rule]:
    """The rule of every physical column of a tile."""
    return {column.name: _rule(column.name in partial.rounded) for partial in view.partials for column in partial.columns}


def _rule(sums: bool) -> Rule:
    return Rule.SUMMATION if sums else Rule.BITS


def differences(one: pa.ChunkedArray[Any], other: pa.ChunkedArray[Any], *, nan_equal: bool = False) -> Floats:
    """How far the values of two columns of one type lie apart, row by row.

    Args:
        one: n values.
        other: n values.
        nan_equal: NaN is equal to NaN, as in what was given and not computed.

    Returns:
        float64[n], |a − b| / max(|a|, |b|): 0 for the same bits, and for null beside null; infinite for null beside a value, for NaN
        (which nothing equals), and for two values that have no distance, such as strings and lists. Zeros of different sign are the
        smallest positive double apart: equal in size, not in bits.
    """
    null_a, null_b = (np.asarray(side.is_null().to_pylist(), dtype=bool) for side in (one, other))
    kind = one.type
    if pa.types.is_floating(kind):
        a, b = _doubles(one), _doubles(other)
        apart = _of_doubles(a, b)
        if nan_equal:
            apart[np.isnan(a) & np.isnan(b)] = 0.0
    else:
        apart = _of_values(one.to_pylist(), other.to_pylist(), sized=bool(pa.types.is_integer(kind)))
    apart[null_a & null_b] = 0.0
    apart[null_a ^ null_b] = np.inf
    return apart


def _doubles(column: pa.ChunkedArray[Any]) -> Floats:
    doubles: Any = column.cast(pa.float64())
    return np.ascontiguousarray(doubles.fill_null(0.0).to_numpy(), dtype=np.float64)


def _of_doubles(a: Floats, b: Floats) -> Floats:
    same = (a.view(np.int64) == b.view(np.int64)) & ~np.isnan(a)
    scale = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        relative = np.abs(a / scale - b / scale) if np.any(scale > np.finfo(np.float64).max / 2) else np.abs(a - b) / scale
    smallest = np.finfo(np.float64).smallest_subnormal
    relative = np.where(scale == 0.0, smallest, np.where(np.isfinite(relative), np.maximum(relative, smallest), np.inf))
    return np.where(same, 0.0, relative)


def _of_values(a: Sequence[Any], b: Sequence[Any], *, sized: bool) -> Floats:
    """Integers keep their size: they are subtracted before they become doubles. Of nested values every bit counts, as their text has it."""
    apart = np.zeros(len(a), dtype=np.float64)
    for row, (left, right) in enumerate(zip(a, b, strict=True)):
        if left == right and (not isinstance(left, list | dict | tuple) or repr(left) == repr(right)):
            continue
        both = sized and left is not None and right is not None
        apart[row] = abs(left - right) / max(abs(left), abs(right)) if both else np.inf
    return apart
