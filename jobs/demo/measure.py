"""What the demo measures: value-by-value equality of served and backfilled features, and the curves of its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.compiler.plan import Finish, PartialKind, ServicePlan
from schemas.types import DataType

RELATIVE_TOLERANCE = 1e-12

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class FeatureParity:
    """One feature over all exact rows.

    Attributes:
        name: Of the feature.
        bit_equal: Whether the values must agree in every bit; otherwise to `RELATIVE_TOLERANCE`.
        compared: Values compared.
        different: Values that differ by more than allowed.
        largest: The largest relative difference seen; infinite where only one side is null.
        empty: Values that were null on both sides.
    """

    name: str
    bit_equal: bool
    compared: int
    different: int
    largest: float
    empty: int


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Served against backfilled. Values are counted in `compared = equal + different`, requests in the rest.

    Attributes:
        missing: Requests without a prediction.
        extra: Predictions that no request asked for, and further predictions of one request.
        exact_share: Predictions served from complete tiles, as a share of all.
    """

    features: tuple[FeatureParity, ...]
    missing: int
    extra: int
    exact_share: float

    @property
    def compared(self) -> int:
        """Values compared."""
        return sum(feature.compared for feature in self.features)

    @property
    def different(self) -> int:
        """Values that differ by more than allowed."""
        return sum(feature.different for feature in self.features)

    @property
    def equal(self) -> int:
        """Values that agree."""
        return self.compared - self.different

    def summary(self) -> dict[str, int]:
        """As in `report.json`."""
        return {"compared": self.compared, "equal": self.equal, "different": self.different, "missing": self.missing, "extra": self.extra}


def bit_equal_features(service: ServicePlan) -> dict[str, bool]:
    """Which features must agree in every bit: all but those that add doubles."""
    rules = {feature.name: True for feature in service.request_features}
    for view in service.views:
        for feature in view.features:
            adds_doubles = any(partial.kind == PartialKind.SUM and partial.type == DataType.FLOAT64 for partial in feature.partials)
            rules[feature.name] = feature.finish == Finish.VALUE and not adds_doubles
    return rules


def compare(service: ServicePlan, served: pa.Table, backfilled: pa.Table) -> Parity:
    """Compare every feature of every exact row.

    Args:
        service: Whose features.
        served: Request id, one column per feature, `stale` (boolean).
        backfilled: Request id, one column per feature; one row for each request.
    """
    if service.request.id is None:
        raise ValueError(f"service {service.name}: its requests have no id to compare by")
    served_ids = np.asarray(served[service.request.id].to_pylist(), dtype=object)
    row_of = {request: row for row, request in enumerate(backfilled[service.request.id].to_pylist())}
    stale = np.asarray(served["stale"].to_pylist(), dtype=bool)
    rows = np.asarray([row_of.get(request, -1) for request in served_ids], dtype=np.int64)
    use = np.flatnonzero((rows >= 0) & ~stale)
    left, right = served.take(use), backfilled.take(rows[use])
    features = tuple(_compare_feature(name, bits, left[name], right[name]) for name, bits in bit_equal_features(service).items())
    distinct = len({request for request, row in zip(served_ids, rows, strict=True) if row >= 0})
    return Parity(
        features=features,
        missing=len(row_of) - distinct,
        extra=len(served_ids) - distinct,
        exact_share=float(np.mean(~stale)) if len(stale) else 0.0,
    )


def _compare_feature(name: str, bit_equal: bool, served: pa.ChunkedArray[Any], backfilled: pa.ChunkedArray[Any]) -> FeatureParity:
    null_a, null_b = (np.asarray(side.is_null().to_pylist(), dtype=bool) for side in (served, backfilled))
    if pa.types.is_floating(served.type):
        difference = _relative_difference(served, backfilled)
    else:
        values = zip(served.to_pylist(), backfilled.to_pylist(), strict=True)
        difference = np.asarray([0.0 if a == b else np.inf for a, b in values], dtype=np.float64)
    difference[null_a & null_b] = 0.0
    difference[null_a ^ null_b] = np.inf
    allowed = 0.0 if bit_equal else RELATIVE_TOLERANCE
    return FeatureParity(
        name=name,
        bit_equal=bit_equal,
        compared=len(difference),
        different=int(np.sum(difference > allowed)),
        largest=float(difference.max(initial=0.0)),
        empty=int(np.sum(null_a & null_b)),
    )


def _relative_difference(served: pa.ChunkedArray[Any], backfilled: pa.ChunkedArray[Any]) -> Floats:
    a, b = (np.asarray([0.0 if value is None else value for value in side.to_pylist()], dtype=np.float64) for side in (served, backfilled))
    same = (a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b))
    scale = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.abs(a - b) / scale
    # Zeros of different sign are equal in size but not in bits: the smallest difference there is.
    relative = np.where(scale == 0.0, np.finfo(np.float64).smallest_subnormal, np.where(np.isfinite(relative), relative, np.inf))
    return np.where(same, 0.0, relative)


def roc(labels: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates at every distinct score, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    true, false = np.cumsum(labels[order])[last_of_tie], np.cumsum(~labels[order])[last_of_tie]
    return np.append(0.0, false / max(false[-1], 1)), np.append(0.0, true / max(true[-1], 1))


def calibration(labels: Bools, scores: Floats, bins: int = 10) -> tuple[Floats, Floats]:
    """Mean score and share of true cases in bins of equally many requests, lowest scores first."""
    parts: Sequence[NDArray[np.int64]] = [part for part in np.array_split(np.argsort(scores, kind="stable"), bins) if len(part)]
    return np.array([scores[part].mean() for part in parts]), np.array([labels[part].mean() for part in parts])
