"""Tiles of all levels, made at once from the smallest, fold to what the smallest alone fold to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.kernel.fold import fold, fold_counting
from features.kernel.larger import with_larger_levels
from features.tolerances import differences, view_rules
from features.window import Sliding
from tests.features.kernel.example import TILE_MS, VIEW, as_tiles, build_tiles
from tests.features.kernel.test_kernel_is_the_oracle import OWNERS, asked, event, histories

HOPS_MS = {TILE_MS: 5 * TILE_MS, 5 * TILE_MS: 5 * TILE_MS, 180 * TILE_MS: 60 * TILE_MS}


def _hopping(size_ms: int) -> Sliding:
    return Sliding(size_ms=max(size_ms, HOPS_MS[size_ms]), hop_ms=HOPS_MS[size_ms])


HOPPING = replace(VIEW, features=tuple(replace(each, window=_hopping(each.window.reach_ms)) for each in VIEW.features))


@settings(max_examples=60, deadline=None)
@given(histories(st.integers(-64_000, 64_000).map(lambda number: number / 64)))  # whose sums are exact in any order
def test_values_are_the_same_from_fewer_tiles(history: tuple[list[dict[str, Any]], list[tuple[str, int]]]) -> None:
    events, rows = history
    owner, boundary = asked(rows)
    small = as_tiles(HOPPING, build_tiles(HOPPING, events), OWNERS)
    plain = fold(HOPPING, small, owner=owner, boundary_ms=boundary)
    larger = fold(HOPPING, with_larger_levels(HOPPING, small), owner=owner, boundary_ms=boundary)
    _same(plain, larger)


def test_a_window_of_many_tiles_takes_few() -> None:
    events: Sequence[Mapping[str, Any]] = [{**event(number * TILE_MS, i=number), "key": "a"} for number in range(600)]
    small = as_tiles(HOPPING, build_tiles(HOPPING, events), OWNERS)
    owner, boundary = np.array([0]), np.array([599 * TILE_MS])
    plain, many = fold_counting(HOPPING, small, owner=owner, boundary_ms=boundary)
    larger, few = fold_counting(HOPPING, with_larger_levels(HOPPING, small), owner=owner, boundary_ms=boundary)
    _same(plain, larger)
    assert (many.tolist(), few.tolist()) == ([239], [3 + 11 + 4])


def _same(one: Mapping[str, pa.Array[Any]], other: Mapping[str, pa.Array[Any]]) -> None:
    rules = view_rules(HOPPING)
    for name, column in one.items():
        apart = differences(pa.chunked_array([column]), pa.chunked_array([other[name]]))
        assert np.all(apart <= rules[name].allowed), (name, column.to_pylist(), other[name].to_pylist())
