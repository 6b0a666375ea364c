"""Levels divide one another and are near, and the pieces of a window are the window, whatever it is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.levels import MOST_OF_A_LEVEL, levels_ms, segments
from features.window import Sliding

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000

tiles = st.sampled_from([1, 7, SECOND, 15 * SECOND, MINUTE, 5 * MINUTE, HOUR])


@st.composite
def views(draw: st.DrawFn) -> tuple[int, list[int]]:
    """A tile, and hops that divide one another; 1 is exact sliding."""
    tile = draw(tiles)
    hops, size = [1], tile
    for factor in draw(st.lists(st.sampled_from([1, 2, 3, 5, 12, 24, 60, 97, 101, 180, 288, 1_009, 1_440]), max_size=3)):
        size *= factor
        hops.append(size)
    return tile, draw(st.permutations(hops))


def is_prime(number: int) -> bool:
    return number > 1 and all(number % each for each in range(2, int(number**0.5) + 1))


@given(views())
def test_levels_go_from_the_tile_to_the_largest_hop_each_dividing_the_next_and_near_where_a_divisor_allows_it(
    view: tuple[int, list[int]],
) -> None:
    tile, hops = view
    levels = levels_ms(tile, hops)
    assert (levels[0], levels[-1]) == (tile, max(tile, *hops))
    assert {hop for hop in hops if hop > tile} <= set(levels)
    for small, large in pairwise(levels):
        assert small < large
        assert large % small == 0
        assert large // small <= MOST_OF_A_LEVEL or is_prime(large // small)


@pytest.mark.parametrize(
    ("tile", "hops", "levels"),
    [
        (MINUTE, [], (MINUTE,)),
        (MINUTE, [1], (MINUTE,)),
        (MINUTE, [HOUR], (MINUTE, HOUR)),
        (MINUTE, [DAY], (MINUTE, HOUR, DAY)),
        (5 * MINUTE, [DAY, 1], (5 * MINUTE, HOUR, DAY)),
        (SECOND, [HOUR], (SECOND, MINUTE, HOUR)),
        (HOUR, [DAY], (HOUR, DAY)),
        (MINUTE, [5 * MINUTE, HOUR, DAY], (MINUTE, 5 * MINUTE, HOUR, DAY)),
    ],
)
def test_levels_are_those_that_people_have_a_word_for(tile: int, hops: list[int], levels: tuple[int, ...]) -> None:
    assert levels_ms(tile, hops) == levels


@given(views(), st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.none() | st.integers(-(10**6), 2 * 10**6))
def test_the_pieces_of_a_window_cover_it_once_in_order_of_time_and_none_begins_or_ends_within_a_tile(
    view: tuple[int, list[int]], begin: int, tiles: int, merged: int | None
) -> None:
    tile, hops = view
    levels = levels_ms(tile, hops)
    first, end = begin * tile, (begin + tiles) * tile
    merged_ms = None if merged is None or len(levels) == 1 else merged * tile // levels[1] * levels[1]
    pieces = segments(np.array([first]), np.array([end]), levels, merged_ms)
    time = first
    for level, low, high in pieces:
        assert low[0] <= high[0]
        if low[0] < high[0]:
            assert low[0] == time
            assert (low[0] % levels[level], high[0] % levels[level]) == (0, 0)
            assert level == 0 or merged_ms is None or high[0] <= merged_ms
            time = int(high[0])
    assert time == end
    if merged_ms is None:  # else small tiles stand for those that are not there
        for level, larger in enumerate(levels[1:]):
            assert sum(int(high[0] - low[0]) for each, low, high in pieces if each == level) < 2 * larger


@given(views(), st.integers(1, 60), st.integers(-(10**12), 10**12))
def test_a_window_takes_its_hops_and_of_each_smaller_level_fewer_tiles_than_are_in_the_next(
    view: tuple[int, list[int]], hops_long: int, time: int
) -> None:
    tile, hops = view
    levels = levels_ms(tile, hops)
    window = Sliding(size_ms=hops_long * levels[-1], hop_ms=levels[-1])
    end = np.array([time // tile * tile])
    begin = window.begin_ms(end)
    assert begin is not None
    taken = [0] * len(levels)
    for level, low, high in segments(begin, end, levels):
        taken[level] += int(high[0] - low[0]) // levels[level]
    top = len(levels) - 1
    assert taken[top] in (hops_long, hops_long + 1) if top else taken[0] == hops_long
    for level in range(top):
        assert taken[level] < levels[level + 1] // levels[level]


def test_pieces_of_many_windows_are_those_of_each() -> None:
    levels = (MINUTE, HOUR, DAY)
    begins = np.array([-3 * DAY, 61 * MINUTE, 59 * MINUTE, 5 * MINUTE, 0])
    ends = np.array([2 * DAY + MINUTE, 61 * MINUTE, 61 * MINUTE, 6 * MINUTE, 400 * DAY + HOUR])
    merged = np.array([DAY, 0, 2 * HOUR, -DAY, 300 * DAY + 7 * HOUR])
    together = segments(begins, ends, levels, merged)
    for row in range(len(begins)):
        alone = segments(begins[row : row + 1], ends[row : row + 1], levels, merged[row : row + 1])
        assert [(level, low[row], high[row]) for level, low, high in together] == [(level, low[0], high[0]) for level, low, high in alone]
