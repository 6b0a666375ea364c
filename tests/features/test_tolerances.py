"""What may differ between engines and what may not: DESIGN §3, Exactness."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from features.catalog import load
from features.tolerances import RELATIVE_TOLERANCE, Rule, differences, feature_rules, tile_rules
from tests.features.kernel.example import VIEW


def apart(one: Any, other: Any, type_: pa.DataType | None = None) -> float:
    """How far two values lie apart, which is the same both ways."""
    columns = [pa.chunked_array([pa.array([value], type=type_)]) for value in (one, other)]
    there, back = differences(columns[0], columns[1])[0], differences(columns[1], columns[0])[0]
    assert there == back
    return float(there)


def test_only_features_that_add_doubles_may_differ_in_their_last_bits() -> None:
    rules = feature_rules(load(None, None).services["flight_delay"])
    assert list(rules) == list(load(None, None).services["flight_delay"].feature_types)
    loose = {name for name, rule in rules.items() if rule is Rule.SUMMATION}
    assert loose == {name for name in rules if "_mean_" in name or "_std_" in name}


def test_of_a_tile_only_sums_of_doubles_may_differ() -> None:
    rules = tile_rules(VIEW)
    assert list(rules) == [column.name for column in VIEW.tile_columns]
    for partial in VIEW.partials:
        for column in partial.columns:
            sums = column.name.endswith(("__s1", "__s2")) or (partial.kind == "sum" and column.type.value == "float64")
            assert (rules[column.name] is Rule.SUMMATION) == sums, column.name


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (None, pa.float64()),
        (0.1 + 0.2, pa.float64()),
        (math.inf, pa.float64()),
        (5e-324, pa.float64()),
        (2**63 - 1, pa.int64()),
        ("ä", pa.string()),
        (True, pa.bool_()),
        (1_380_628_800_000, pa.timestamp("ms", tz="UTC")),
        ([1.5, None, "x"][:2], pa.list_(pa.float64())),
        ([("a", 1)], pa.map_(pa.string(), pa.int64())),
    ],
    ids=str,
)
def test_a_value_is_nothing_apart_from_itself_and_infinitely_far_from_null(value: Any, type_: pa.DataType) -> None:
    assert apart(value, value, type_) == 0.0
    if value is not None:
        assert apart(value, None, type_) == math.inf


def test_nan_equals_nothing_not_even_itself() -> None:
    for other in (math.nan, 1.0, None, math.inf):
        assert apart(math.nan, other, pa.float64()) == math.inf
    assert apart([math.nan], [math.nan], pa.list_(pa.float64())) == math.inf


def test_one_unit_in_the_last_place_is_seen_and_is_within_what_sums_may_differ() -> None:
    for value in (0.5, 1e300, -3.7, 1.7976931348623157e308):
        ulp = apart(value, math.nextafter(value, 0.0), pa.float64())
        assert Rule.BITS.allowed < ulp <= Rule.SUMMATION.allowed
    assert apart(1.0, 1.0 + 2 * RELATIVE_TOLERANCE, pa.float64()) > Rule.SUMMATION.allowed
    assert 0 < apart(5e-324, 1e-323, pa.float64()) < 1


def test_zeros_of_different_sign_differ_in_bits_only() -> None:
    assert Rule.BITS.allowed < apart(0.0, -0.0, pa.float64()) <= Rule.SUMMATION.allowed
    assert apart([0.0], [-0.0], pa.list_(pa.float64())) == math.inf


def test_integers_beyond_doubles_are_told_apart() -> None:
    assert 0 < apart(2**62, 2**62 + 1, pa.int64()) < 1e-18
    assert apart(-1, 1, pa.int64()) == 2.0


@pytest.mark.parametrize(
    ("one", "other", "type_"),
    [
        ("", "x", pa.string()),
        (True, False, pa.bool_()),
        ([1, 2], [2, 1], pa.list_(pa.int64())),
        (1.0, math.inf, pa.float64()),
        (-math.inf, math.inf, pa.float64()),
    ],
)
def test_what_has_no_distance_is_infinitely_far_apart(one: Any, other: Any, type_: pa.DataType) -> None:
    assert apart(one, other, type_) == math.inf
