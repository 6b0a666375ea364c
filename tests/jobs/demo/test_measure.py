"""Planted differences are found, and only those."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from features.compiler.plan import Finish, Partial, PartialKind, ServicePlan, SourcePlan, ViewPlan, WindowFeature
from jobs.demo.measure import Parity, bit_equal_features, calibration, compare, roc
from schemas.types import DataType

HOUR_MS = 3_600_000
SOURCE = SourcePlan(
    name="asks",
    topic="asks",
    schema="ask",
    columns={"request_id": DataType.STRING, "event_time": DataType.TIMESTAMP},
    nullable=frozenset(),
    event_time="event_time",
    lateness_ms=0,
    id="request_id",
    dedupe_ms=None,
    trusted=False,
)


def _feature(name: str, kind: PartialKind, type_: DataType, finish: Finish = Finish.VALUE) -> WindowFeature:
    partial = Partial(name=f"p_{name}", kind=kind, input=None, where=None, tie=None, type=type_)
    return WindowFeature(name=name, finish=finish, partials=(partial,), window_ms=HOUR_MS, type=type_, text=name)


FEATURES = (
    _feature("count", PartialKind.COUNT, DataType.INT64),
    _feature("whole_sum", PartialKind.SUM, DataType.INT64),
    _feature("sum", PartialKind.SUM, DataType.FLOAT64),
    _feature("mean", PartialKind.SUM, DataType.FLOAT64, Finish.MEAN),
    _feature("max", PartialKind.MAX, DataType.FLOAT64),
    _feature("last", PartialKind.LAST, DataType.STRING),
)
VIEW = ViewPlan(name="view", entity="e", keys=(), source=SOURCE, tile_ms=HOUR_MS, delay_ms=0, where=None, partials=(), features=FEATURES)
SERVICE = ServicePlan(name="service", request=SOURCE, views=(VIEW,), request_features=(), label=None)


def _table(**changed: list[object]) -> pa.Table:
    columns: dict[str, list[object]] = {
        "request_id": ["a", "b", "c"],
        "count": [0, 2, 3],
        "whole_sum": [0, 5, -7],
        "sum": [0.0, 0.1 + 0.2, 4.0],
        "mean": [None, 0.5, 4.0],
        "max": [None, 0.5, -4.0],
        "last": [None, "x", "y"],
        "stale": [False, False, False],
    }
    types = {feature.name: feature.type.arrow for feature in FEATURES} | {"request_id": pa.string(), "stale": pa.bool_()}
    return pa.table({name: pa.array(values, type=types[name]) for name, values in (columns | changed).items()})


def _different(parity: Parity) -> dict[str, int]:
    return {feature.name: feature.different for feature in parity.features if feature.different}


def test_only_what_adds_doubles_may_differ_in_its_last_bits() -> None:
    assert {name for name, bits in bit_equal_features(SERVICE).items() if not bits} == {"sum", "mean"}


def test_equal_tables_are_equal_whatever_their_order() -> None:
    parity = compare(SERVICE, _table(), _table().take([2, 0, 1]))
    assert parity.summary() == {"compared": 18, "equal": 18, "different": 0, "missing": 0, "extra": 0}
    assert parity.exact_share == 1.0
    assert {feature.name: feature.empty for feature in parity.features if feature.empty} == {"mean": 1, "max": 1, "last": 1}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("count", [0, 2, 4]),
        ("whole_sum", [0, 5, -8]),
        ("sum", [0.0, (0.1 + 0.2) * (1 + 3e-12), 4.0]),
        ("sum", [1e-300, 0.1 + 0.2, 4.0]),
        ("mean", [0.0, 0.5, 4.0]),
        ("mean", [None, None, 4.0]),
        ("mean", [None, math.nan, 4.0]),
        ("max", [None, math.nextafter(0.5, 1), -4.0]),
        ("max", [None, 0.5, math.inf]),
        ("last", [None, "x", "z"]),
        ("last", ["", "x", "y"]),
    ],
)
def test_a_planted_difference_is_found(column: str, values: list[object]) -> None:
    for served, backfilled in ((_table(**{column: values}), _table()), (_table(), _table(**{column: values}))):
        assert _different(compare(SERVICE, served, backfilled)) == {column: 1}


def test_zeros_of_different_sign_differ_in_bits() -> None:
    negative, positive = _table(max=[None, -0.0, 1.0]), _table(max=[None, 0.0, 1.0])
    assert _different(compare(SERVICE, negative, positive)) == {"max": 1}


def test_sums_may_differ_by_their_order_of_summation() -> None:
    parity = compare(SERVICE, _table(sum=[0.0, 0.3, 4.0]), _table())
    assert parity.different == 0
    assert 0 < max(feature.largest for feature in parity.features) < 1e-15


def test_stale_rows_are_counted_but_not_compared() -> None:
    parity = compare(SERVICE, _table(count=[9, 2, 3], stale=[True, False, False]), _table())
    assert (parity.compared, parity.different, parity.missing) == (12, 0, 0)
    assert parity.exact_share == pytest.approx(2 / 3)


def test_missing_extra_and_repeated_predictions_are_counted() -> None:
    parity = compare(SERVICE, _table().take([0, 0, 1]), _table())
    assert (parity.missing, parity.extra, parity.different) == (1, 1, 0)
    parity = compare(SERVICE, _table(request_id=["a", "b", "nobody"]), _table())
    assert (parity.missing, parity.extra) == (1, 1)


def test_roc_runs_from_corner_to_corner_and_takes_ties_in_one_step() -> None:
    labels, scores = np.array([True, False, True, False]), np.array([0.9, 0.9, 0.4, 0.1])
    false, true = roc(labels, scores)
    assert false.tolist() == [0.0, 0.5, 0.5, 1.0]
    assert true.tolist() == [0.0, 0.5, 1.0, 1.0]


def test_calibration_bins_hold_equally_many() -> None:
    scores = np.linspace(0, 1, 100)
    said, happened = calibration(scores > 0.5, scores, bins=4)
    assert happened.tolist() == [0.0, 0.0, 1.0, 1.0]
    assert np.all(np.diff(said) > 0)
