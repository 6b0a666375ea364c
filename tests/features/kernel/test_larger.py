"""Windows are the same in every bit, whatever larger tiles are there and whatever is made of small ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import features.kernel.fold
from features.columns.tile_table import Tiles
from features.kernel.fold import fold, fold_counting
from features.kernel.larger import with_larger_levels
from tests.features.kernel.example import DELAY_MS, HOP_VIEW, TILE_MS, as_tiles, build_tiles
from tests.features.kernel.test_kernel_is_the_oracle import OWNERS, asked, event, histories
from tests.features.kernel.test_kernel_laws import bits

History = tuple[list[dict[str, Any]], list[tuple[str, int]]]


def stored(small: Tiles, merged: Sequence[int]) -> Tiles:
    """Tiles as the store may have them: larger ones up to a time for each owner beside all small ones.

    Args:
        small: Of the smallest level.
        merged: For each owner, the end of the last second-level tile that is there, in tiles.
    """
    whole, sizes = with_larger_levels(HOP_VIEW, small), np.array(HOP_VIEW.levels_ms)
    assert whole.level is not None
    merged_ms = np.array(merged, dtype=np.int64) * TILE_MS // sizes[1] * sizes[1]
    own = merged_ms[whole.owner]
    there = (whole.level == 0) | (whole.start_ms + sizes[whole.level] <= own)
    return replace(whole.chosen(there), merged_ms=merged_ms)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(histories(), st.lists(st.integers(-60, 300), min_size=3, max_size=3))
def test_what_the_store_has_merged_changes_no_bit(history: History, merged: list[int]) -> None:
    events, rows = history
    assume(events)
    owner, boundary = asked(rows)
    small = as_tiles(HOP_VIEW, build_tiles(HOP_VIEW, events), OWNERS)
    origin = min(each["t"] for each in events) // TILE_MS
    some = stored(small, [origin + each for each in merged])
    every = replace(with_larger_levels(HOP_VIEW, small), merged_ms=None)
    plain = bits(fold(HOP_VIEW, small, owner=owner, boundary_ms=boundary))
    assert bits(fold(HOP_VIEW, some, owner=owner, boundary_ms=boundary)) == plain
    assert bits(fold(HOP_VIEW, every, owner=owner, boundary_ms=boundary)) == plain


def rough_events(count: int) -> list[dict[str, Any]]:
    """Doubles of both signs and all sizes: the last digits of their sums tell how they were grouped."""
    random = np.random.default_rng(5)
    numbers = random.normal(size=count) * 10.0 ** random.integers(-3, 8, count)
    return [{**event(number * TILE_MS, i=number, x=float(x)), "key": "a"} for number, x in enumerate(numbers)]


@pytest.mark.slow
@pytest.mark.parametrize("made", [True, False])
def test_sums_of_doubles_would_tell_how_they_were_grouped(monkeypatch: pytest.MonkeyPatch, made: bool) -> None:
    small = as_tiles(HOP_VIEW, build_tiles(HOP_VIEW, rough_events(400)), OWNERS)
    owner, boundary = asked([("a", (300 + number) * TILE_MS + DELAY_MS) for number in range(60)] * 2)
    if not made:
        monkeypatch.setattr(features.kernel.fold, "with_larger_levels", lambda view, tiles: tiles)
    found = [bits(fold(HOP_VIEW, stored(small, [end] * 3), owner=owner, boundary_ms=boundary)) for end in range(0, 400, 35)]
    assert all(each == found[0] for each in found) == made


def test_a_window_of_many_tiles_takes_few() -> None:
    events: Sequence[Mapping[str, Any]] = rough_events(600)
    small = as_tiles(HOP_VIEW, build_tiles(HOP_VIEW, events), OWNERS)
    owner, boundary = np.array([0]), np.array([599 * TILE_MS])
    plain, many = fold_counting(HOP_VIEW, small, owner=owner, boundary_ms=boundary)
    larger, few = fold_counting(HOP_VIEW, with_larger_levels(HOP_VIEW, small), owner=owner, boundary_ms=boundary)
    assert bits(plain) == bits(larger)
    assert few.tolist()[0] < many.tolist()[0] / 3
