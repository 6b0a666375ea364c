"""Laws of folding: how events were split into tiles, and what else is in the batch, changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import features.columns.tile_table
import features.partials.merged_map
from features.kernel.fold import fold
from features.plan import ViewPlan
from tests.features.kernel.example import TILE_MS, VIEW, as_tiles, build_tiles
from tests.features.kernel.test_kernel_is_the_oracle import OWNERS, asked, assert_same, exact_and_with_hops, expected_of, histories, values
from tests.oracle import Question

History = tuple[list[dict[str, Any]], list[tuple[str, int]]]


def bits(columns: dict[str, Any]) -> dict[str, list[str]]:
    """Every value to the last bit."""
    return {name: [v.hex() if isinstance(v, float) else repr(v) for v in column.to_pylist()] for name, column in columns.items()}


@pytest.mark.slow
@exact_and_with_hops
@settings(max_examples=40, deadline=None)
@given(history=histories(), data=st.data())
def test_any_split_of_the_events_into_tiles_merges_to_the_same(
    view: ViewPlan, questions: Sequence[Question], history: History, data: st.DataObject
) -> None:
    events, rows = history
    parts = data.draw(st.lists(st.integers(0, 3), min_size=len(events), max_size=len(events)))
    split = [row for part in range(4) for row in build_tiles(view, [e for e, p in zip(events, parts, strict=True) if p == part])]
    owner, boundary = asked(rows)
    folded = fold(view, as_tiles(view, split, OWNERS), owner=owner, boundary_ms=boundary)
    columns = {name: values(column) for name, column in folded.items()}
    for number, (key, as_of) in enumerate(rows):
        expected = expected_of(events, key, as_of, questions)
        for question in questions:
            inputs = [e[column] for e in events for column in ("x", "i") if e[column] is not None]
            assert_same(question, columns[question.name][number], expected[question.name], inputs)


@pytest.mark.slow
@exact_and_with_hops
@settings(max_examples=40, deadline=None)
@given(history=histories(), random=st.randoms(use_true_random=False))
def test_a_row_depends_only_on_its_own_tiles_to_the_bit(
    view: ViewPlan, questions: Sequence[Question], history: History, random: Any
) -> None:
    events, rows = history
    tiles = build_tiles(view, events)
    owner, boundary = asked(rows)
    together = bits(fold(view, as_tiles(view, tiles, OWNERS), owner=owner, boundary_ms=boundary))
    random.shuffle(tiles)
    for number, (key, _) in enumerate(rows):
        own = [tile for tile in tiles if tile["key"] == key]
        alone = bits(fold(view, as_tiles(view, own, {key: 5}), owner=np.array([5]), boundary_ms=boundary[number : number + 1]))
        assert {name: column[number] for name, column in together.items()} == {name: column[0] for name, column in alone.items()}


@pytest.mark.slow
@exact_and_with_hops
@settings(max_examples=30, deadline=None)
@given(history=histories())
def test_rows_in_several_batches_are_the_same_to_the_bit(view: ViewPlan, questions: Sequence[Question], history: History) -> None:
    events, rows = history
    tiles = as_tiles(view, build_tiles(view, events), OWNERS)
    owner, boundary = asked(rows)
    whole = bits(fold(view, tiles, owner=owner, boundary_ms=boundary))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.columns.tile_table, "_CHUNK_ELEMENTS", 2)
        assert bits(fold(view, tiles, owner=owner, boundary_ms=boundary)) == whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.partials.merged_map, "_CHUNK_ENTRIES", 2)
        assert bits(fold(view, tiles, owner=owner, boundary_ms=boundary)) == whole


@pytest.mark.slow
@exact_and_with_hops
@settings(max_examples=30, deadline=None)
@given(history=histories())
def test_very_many_owners_and_distant_tiles_are_searched_alike(view: ViewPlan, questions: Sequence[Question], history: History) -> None:
    events, rows = history
    far = {key: number * 10**9 for key, number in OWNERS.items()}
    spread = [{**e, "t": e["t"] + (10**15 if n == 0 else 0)} for n, e in enumerate(events)]
    owner, boundary = asked(rows)
    near = bits(fold(view, as_tiles(view, build_tiles(view, spread), OWNERS), owner=owner, boundary_ms=boundary))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.columns.tile_table, "_COMPOSITE_LIMIT", 1)
        assert bits(fold(view, as_tiles(view, build_tiles(view, spread), far), owner=owner * 10**9, boundary_ms=boundary)) == near


def test_a_boundary_before_all_time_and_a_row_without_an_owner_are_empty() -> None:
    tiles = as_tiles(
        VIEW, build_tiles(VIEW, [{"key": "a", "t": 0, "x": 1.0, "i": 1, "word": "w", "flag": True, "at": 0, "seq": 0}]), OWNERS
    )
    limits = np.iinfo(np.int64)
    result = fold(VIEW, tiles, owner=np.array([0, -1, 0, 99]), boundary_ms=np.array([limits.min, TILE_MS, TILE_MS, TILE_MS]))
    assert result["count_3h"].to_pylist() == [0, 0, 1, 0]
    assert result["last_word_3h"].to_pylist() == [None, None, "w", None]
