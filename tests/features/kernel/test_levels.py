"""Tiles of larger levels are the small ones, merged: what windows are folded from changes no value, and far from the end few levels are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import features.partials.merged_map
from features.columns.tile_table import Tiles
from features.kernel.condense import condense
from features.kernel.fold import fold, fold_counting
from features.levels import reaches_ms
from features.partials.map_partial import MapPartial
from features.partials.map_text import TOO_LARGE
from features.plan import ViewPlan
from features.window import Lifetime, Sliding
from tests.features.kernel.example import (
    DELAY_MS,
    HOP_QUESTIONS,
    HOP_VIEW,
    HOP_WINDOWS,
    TILE_MS,
    as_tiles,
    build_tiles,
    build_view,
    tile_table,
)
from tests.features.kernel.test_kernel_is_the_oracle import (
    OWNERS,
    asked,
    assert_same,
    check,
    event,
    expected_of,
    histories,
    inputs_of,
    values,
)
from tests.features.kernel.test_kernel_laws import bits
from tests.oracle import Question

History = tuple[list[dict[str, Any]], list[tuple[str, int]]]
Row = Mapping[str, Any]

ONLY_HOPS_VIEW, ONLY_HOPS_QUESTIONS = build_view({label: window for label, window in HOP_WINDOWS.items() if "by" in label})
MOST = 40
"""Characters of a map's entries, so that few are too many."""


def leveled(view: ViewPlan, rows: Sequence[Row], merged_ms: Mapping[str, int], *, needed_before_ms: int | None = None) -> Tiles:
    """Small tiles, and merged from them level by level those of all intervals that end at or before a key's time.

    Args:
        view: Whose tiles.
        rows: Small tiles, as of `build_tiles`.
        merged_ms: Key → up to when its tiles are merged.
        needed_before_ms: The earliest end of a window: what none needs any more is left out. None: all small tiles stay.
    """
    of_level = [tile_table(view, rows)]
    for size in view.levels_ms[1:]:
        of_level.append(_merged(view, of_level[-1], size, merged_ms))
    reaches = reaches_ms([feature.window for feature in view.features], view.levels_ms)
    parts = []
    for number, table in enumerate(of_level):
        key, start = table["key"].to_pylist(), table["tile_start"].to_numpy()
        kept = np.ones(len(table), dtype=np.bool_)
        if needed_before_ms is not None:
            until = np.array([min(merged_ms[str(each)], needed_before_ms) for each in key], dtype=np.int64)
            kept = start >= until - reaches[number]
        parts.append(table.filter(pa.array(kept)))
    table = pa.concat_tables(parts)
    tiles = Tiles.of(
        view.tile_columns,
        owner=np.array([OWNERS[str(key)] for key in table["key"].to_pylist()], dtype=np.int64),
        start_ms=table["tile_start"].to_numpy(),
        table=table,
    )
    level = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return replace(tiles, level=level, merged_ms=np.array([merged_ms[key] for key in OWNERS], dtype=np.int64))


def _merged(view: ViewPlan, finer: pa.Table, size_ms: int, merged_ms: Mapping[str, int]) -> pa.Table:
    """The tiles of a level, made of those of the finer one."""
    places = [
        (str(key), int(start) // size_ms * size_ms)
        for key, start in zip(finer["key"].to_pylist(), finer["tile_start"].to_numpy(), strict=True)
    ]
    whole = [number for number, (key, start) in enumerate(places) if start + size_ms <= merged_ms[key]]
    whole.sort(key=lambda number: places[number])
    groups = [place for place, _ in groupby(places[number] for number in whole)]
    if not groups:
        return finer.slice(0, 0)
    part = finer.take(pa.array(whole))
    owner = np.array([groups.index(places[number]) for number in whole], dtype=np.int64)
    columns = condense(
        view, Tiles.of(view.tile_columns, owner=owner, start_ms=part["tile_start"].to_numpy(), table=part), owners=len(groups)
    )
    keys = {"key": pa.array([key for key, _ in groups], pa.string()), "tile_start": pa.array([start for _, start in groups], pa.int64())}
    return pa.table(keys | {column.name: columns[column.name].arrow(column.type) for column in view.tile_columns}, schema=finer.schema)


def merged_until(view: ViewPlan, rows: Sequence[tuple[str, int]], data: st.DataObject) -> dict[str, int]:
    """Up to when each key's tiles are merged: before all, after all, or anywhere between."""
    size = view.levels_ms[1]
    near = min(time for _, time in rows)
    steps = st.sampled_from([-(10**6), 10**6]) | st.integers(-50, 50)
    return {key: (near // size + data.draw(steps)) * size for key in OWNERS}


def compare(
    view: ViewPlan, questions: Sequence[Question], tiles: Tiles, events: Sequence[Row], rows: Sequence[tuple[str, int]], small: Tiles
) -> None:
    """Every feature: the oracle's, and that of small tiles alone to the bit, but for what adds doubles."""
    owner, boundary = asked(rows)
    got, alone = (
        {name: values(column) for name, column in fold(view, each, owner=owner, boundary_ms=boundary).items()} for each in (tiles, small)
    )
    for number, (key, as_of) in enumerate(rows):
        expected = expected_of(events, key, as_of, questions)
        for question in questions:
            inputs = inputs_of(question, events, key, as_of)
            assert_same(question, got[question.name][number], expected[question.name], inputs)
            exact = question.aggregation not in ("Sum", "Mean", "Variance", "StdDev")
            if exact:
                assert got[question.name][number] == alone[question.name][number], question.name
            elif alone[question.name][number] is not None:
                assert_same(question, got[question.name][number], alone[question.name][number], inputs)


@pytest.mark.slow
@pytest.mark.parametrize(("view", "questions"), [(HOP_VIEW, HOP_QUESTIONS), (ONLY_HOPS_VIEW, ONLY_HOPS_QUESTIONS)], ids=["mixed", "hops"])
@settings(max_examples=40, deadline=None)
@given(history=histories(), data=st.data())
def test_tiles_merged_up_to_any_time_fold_to_the_same(
    view: ViewPlan, questions: Sequence[Question], history: History, data: st.DataObject
) -> None:
    events, rows = history
    small = build_tiles(view, events)
    tiles = leveled(view, small, merged_until(view, rows, data))
    compare(view, questions, tiles, events, rows, as_tiles(view, small, OWNERS))


@pytest.mark.slow
@pytest.mark.parametrize(("view", "questions"), [(HOP_VIEW, HOP_QUESTIONS), (ONLY_HOPS_VIEW, ONLY_HOPS_QUESTIONS)], ids=["mixed", "hops"])
@settings(max_examples=40, deadline=None)
@given(history=histories(), data=st.data())
def test_of_each_level_no_tile_is_missed_that_lies_further_back_than_it_reaches(
    view: ViewPlan, questions: Sequence[Question], history: History, data: st.DataObject
) -> None:
    events, rows = history
    small = build_tiles(view, events)
    _, boundary = asked(rows)
    tiles = leveled(view, small, merged_until(view, rows, data), needed_before_ms=int(boundary.min()))
    compare(view, questions, tiles, events, rows, as_tiles(view, small, OWNERS))


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(history=histories())
def test_beside_features_of_all_time_hops_mean_the_same(history: History) -> None:
    view, questions = build_view({"2h_by_1h": HOP_WINDOWS["2h_by_1h"], "ever": Lifetime()})
    assert view.levels_ms == (TILE_MS,)
    check(view, questions, *history)


@pytest.mark.parametrize("labels", [("12m_by_5m", "2h_by_1h"), ("5m", "2h_by_1h"), tuple(HOP_WINDOWS)], ids=["hops", "short", "all"])
@pytest.mark.parametrize("merged", [0, 65, 180, 600])
def test_a_busy_key_counts_the_same_from_what_is_within_reach(labels: tuple[str, ...], merged: int) -> None:
    names = [f"count_{label}" for label in labels]
    counts = tuple(feature for feature in HOP_VIEW.features if feature.name in names)
    view = replace(HOP_VIEW, features=counts, partials=counts[0].partials)
    small = build_tiles(view, [event(number * TILE_MS) for number in range(-240, 360)])
    whole = as_tiles(view, small, OWNERS)
    for end in range(180, 240):  # wherever in the largest tile
        _, boundary = asked([("a", end * TILE_MS + DELAY_MS)])
        tiles = leveled(view, small, dict.fromkeys(OWNERS, merged * TILE_MS), needed_before_ms=int(boundary[0]))
        got, alone = (fold(view, each, owner=np.array([0]), boundary_ms=boundary) for each in (tiles, whole))
        assert {name: got[name].to_pylist() for name in names} == {name: alone[name].to_pylist() for name in names}, end


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(history=histories(), data=st.data())
def test_maps_with_too_many_entries_are_null_whatever_their_tiles_were_merged_into(history: History, data: st.DataObject) -> None:
    events, rows = history
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.partials.merged_map, "MOST_CHARACTERS", MOST)
        small = [_bounded(row) for row in build_tiles(HOP_VIEW, events)]
        tiles = leveled(HOP_VIEW, small, merged_until(HOP_VIEW, rows, data))
        owner, boundary = asked(rows)
        maps = [f.name for f in HOP_VIEW.features if isinstance(f.partials[0], MapPartial)]
        got, alone = (bits(fold(HOP_VIEW, each, owner=owner, boundary_ms=boundary)) for each in (tiles, as_tiles(HOP_VIEW, small, OWNERS)))
        assert {name: got[name] for name in maps} == {name: alone[name] for name in maps}


def _bounded(row: Row) -> dict[str, Any]:
    """A tile whose maps say so where their entries are too many, as engines write it."""
    maps = {partial.name for partial in HOP_VIEW.partials if isinstance(partial, MapPartial)}
    return {name: TOO_LARGE if name in maps and value is not None and len(value) + 1 > MOST else value for name, value in row.items()}


def test_an_outgrown_map_is_told_by_a_tile_of_any_level() -> None:
    """Twenty words of five characters: no tile has too many, an hour has."""
    small = build_tiles(HOP_VIEW, [event(number * 3 * TILE_MS, word=f"{number:05}") for number in range(20)])
    owner, boundary = asked([("a", end * TILE_MS + DELAY_MS) for end in (60, 18, 15)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.partials.merged_map, "MOST_CHARACTERS", MOST)
        for until in (0, 60, 120):
            found = fold(HOP_VIEW, leveled(HOP_VIEW, small, dict.fromkeys(OWNERS, until * TILE_MS)), owner=owner, boundary_ms=boundary)
            assert found["topk_word_2h_by_1h_0"].to_pylist() == [None, None, "00000"]
            assert found["topk_word_12m_by_5m_0"].to_pylist() == ["00015", "00002", "00000"]


@pytest.mark.parametrize("merged", [None, 0, 5, 60, 65, 120, 180, 600])
def test_a_window_is_folded_from_few_tiles_where_they_are_merged(merged: int | None) -> None:
    small = build_tiles(ONLY_HOPS_VIEW, [event(number * TILE_MS, i=1) for number in range(178)])
    owner, boundary = asked([("a", 178 * TILE_MS + DELAY_MS)])
    tiles = as_tiles(ONLY_HOPS_VIEW, small, OWNERS)
    if merged is not None:
        tiles = leveled(ONLY_HOPS_VIEW, small, dict.fromkeys(OWNERS, merged * TILE_MS))
    columns, counted = fold_counting(ONLY_HOPS_VIEW, tiles, owner=owner, boundary_ms=boundary)
    assert (columns["count_2h_by_1h"].to_pylist(), columns["count_12m_by_5m"].to_pylist()) == ([178], [13])
    until = 0 if merged is None else min(merged, 178)
    assert counted.tolist() == [until // 60 + until % 60 // 5 + 178 - until // 5 * 5]


def test_windows_of_chronon_are_those_of_its_public_rule() -> None:
    """Chronon (aggregator/windowing: `Resolution`, `SawtoothAggregator`) begins a window at `round(query − window, hop)`.

    Its hop is five minutes for windows below 12 hours, an hour below 12 days, a day from then on.
    """
    hour, day = 60 * TILE_MS, 1_440 * TILE_MS
    windows = {"6h": (6 * hour, 5 * TILE_MS), "7d": (7 * day, hour), "30d": (30 * day, day)}
    view, questions = build_view({label: Sliding(size_ms=size, hop_ms=hop) for label, (size, hop) in windows.items()})
    assert view.levels_ms == (TILE_MS, 5 * TILE_MS, hour, day)
    noon = 20_000 * day + 12 * hour
    query = noon + 34 * TILE_MS
    begins = {"6h": noon - 6 * hour + 30 * TILE_MS, "7d": noon - 7 * day, "30d": noon - 12 * hour - 30 * day}
    events = [event(begin + off, i=1) for begin in begins.values() for off in (-1, 0)] + [event(query - 1, i=1), event(query, i=1)]
    rows = [("a", query + DELAY_MS)]
    check(view, questions, events, rows)
    small = build_tiles(view, events)
    owner, boundary = asked(rows)
    for tiles in (as_tiles(view, small, OWNERS), leveled(view, small, dict.fromkeys(OWNERS, noon + 30 * TILE_MS))):
        found = fold(view, tiles, owner=owner, boundary_ms=boundary)
        assert {label: found[f"count_{label}"].to_pylist() for label in windows} == {"6h": [2], "7d": [4], "30d": [6]}
