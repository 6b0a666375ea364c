"""b and the clipping by the frontier: one meaning, in numpy and in SQL, before 1970 too."""

from __future__ import annotations

import math
import sqlite3

import numpy as np
import pytest

from features.window import NEVER_MS, Lifetime, Sliding, Together, boundary_ms, boundary_sql, complete_ms, opens_after_ms, widest

MINUTE = 60_000
TIMES = [-(10**12) - 1, -MINUTE - 1, -MINUTE, -1, 0, 1, 6_999, 7_000, 7_001, MINUTE + 6_999, MINUTE + 7_000, 1_700_000_000_123]
SETTINGS = [(0, 1), (0, MINUTE), (7_000, MINUTE), (3 * MINUTE, MINUTE), (1, 7)]


@pytest.mark.parametrize(("delay_ms", "tile_ms"), SETTINGS)
def test_b_is_the_last_edge_of_a_tile_that_is_a_delay_ago_in_numpy_and_in_sql(delay_ms: int, tile_ms: int) -> None:
    expected = [math.floor((time - delay_ms) / tile_ms) * tile_ms for time in TIMES]
    assert boundary_ms(np.array(TIMES), delay_ms=delay_ms, tile_ms=tile_ms).tolist() == expected
    engine = sqlite3.connect(":memory:")  # its % has the sign of the dividend, as Spark's
    query = f"SELECT {boundary_sql('`t`', delay_ms=delay_ms, tile_ms=tile_ms)} FROM (SELECT ? AS `t`)"
    assert [engine.execute(query, (time,)).fetchone()[0] for time in TIMES] == expected
    engine.close()


@pytest.mark.parametrize(("delay_ms", "tile_ms"), SETTINGS)
def test_a_tile_lies_before_b_from_when_it_is_said_to_open(delay_ms: int, tile_ms: int) -> None:
    ends = boundary_ms(np.array(TIMES), delay_ms=delay_ms, tile_ms=tile_ms)
    after = opens_after_ms(delay_ms=delay_ms, tile_ms=tile_ms)
    for start in (-2 * tile_ms, -tile_ms, 0, tile_ms, 1_700_000_000_000 // tile_ms * tile_ms):
        assert [start + tile_ms <= end for end in ends] == [time >= start + after for time in TIMES]


@pytest.mark.parametrize(
    ("frontier_ms", "served"),
    [(10 * MINUTE, 5 * MINUTE), (5 * MINUTE, 5 * MINUTE), (5 * MINUTE - 1, 4 * MINUTE), (MINUTE + 1, MINUTE), (-1, -MINUTE)],
)
def test_b_goes_no_further_than_the_newest_complete_tile(frontier_ms: int, served: int) -> None:
    assert complete_ms(np.array([5 * MINUTE]), frontier_ms, tile_ms=MINUTE).tolist() == [served]
    assert complete_ms(np.array([5 * MINUTE]), np.array([frontier_ms]), tile_ms=MINUTE).tolist() == [served]


def test_without_a_frontier_there_is_nothing() -> None:
    (served,) = complete_ms(np.array([0]), np.array([NEVER_MS]), tile_ms=MINUTE).tolist()
    assert NEVER_MS <= served <= NEVER_MS + MINUTE


def test_windows_say_where_they_begin_and_which_is_widest() -> None:
    hour, day = Sliding(size_ms=60 * MINUTE), Sliding(size_ms=1_440 * MINUTE)
    assert (hour.begin_ms(0), Lifetime().begin_ms(0)) == (-60 * MINUTE, None)
    assert (widest([hour, day]), widest([day, Lifetime(), hour]), widest([])) == (day, Lifetime(), Sliding(size_ms=0))
    assert (hour.text("Count()"), Lifetime().text("Count()")) == ("Count().over(1h)", "Lifetime(Count())")


@pytest.mark.parametrize("end", [0, MINUTE, 59 * MINUTE, 60 * MINUTE, -MINUTE, -61 * MINUTE, 24 * 60 * MINUTE * 15_000 + 7 * MINUTE])
def test_a_window_with_a_hop_begins_at_a_multiple_of_it_never_later_than_its_size_before_its_end(end: int) -> None:
    window = Sliding(size_ms=90 * MINUTE, hop_ms=60 * MINUTE)
    begin = window.begin_ms(end)
    assert begin is not None
    assert begin % window.hop_ms == 0
    assert window.size_ms <= end - begin < window.reach_ms
    assert np.array([begin]) == window.begin_ms(np.array([end]))


def test_of_windows_with_hops_the_widest_begins_where_the_first_of_them_does() -> None:
    hour = 60 * MINUTE
    exact, hourly, daily = Sliding(size_ms=25 * hour), Sliding(size_ms=25 * hour, hop_ms=hour), Sliding(size_ms=24 * hour, hop_ms=24 * hour)
    assert (widest([exact, hourly]), widest([exact, Lifetime(), daily])) == (hourly, Lifetime())
    together = widest([exact, hourly, daily])
    assert together == Together(windows=(hourly, daily))
    assert together.reach_ms == 48 * hour
    ends = np.arange(-30 * hour, 60 * hour, 7 * MINUTE)
    assert together.begin_ms(ends).tolist() == [
        min((end - 25 * hour) // hour * hour, (end - 24 * hour) // (24 * hour) * 24 * hour) for end in ends.tolist()
    ]


def test_a_window_says_its_hop_where_it_has_one() -> None:
    hour = 60 * MINUTE
    assert Sliding(size_ms=48 * hour, hop_ms=hour).text("Count()") == "Count().over(2d, hop=1h)"
    assert Sliding(size_ms=hour, hop_ms=5 * MINUTE).recorded == {"window_ms": hour, "hop_ms": 5 * MINUTE}
    assert Sliding(size_ms=hour).recorded == {"window_ms": hour}
