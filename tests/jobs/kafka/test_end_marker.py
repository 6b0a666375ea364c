"""Where the end marker of a publication goes, when there is none, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import catalog
from features.plan import Plan, SourcePlan
from features.watermarks import Extent, Watermarks
from jobs.kafka.end_marker import LIVE_MS, EndMarker
from schemas.errors import SettingError

PLAN = catalog.load(None, None)
DEPARTURES = PLAN.sources["departures"]
TILE_MS = max(view.tile_ms for view in PLAN.views_of("departures"))
NOW_MS = 1_700_000_000_123
SKEW_MS = 300_000


def ending(newest_ms: int, source: SourcePlan = DEPARTURES, plan: Plan = PLAN) -> EndMarker:
    return EndMarker.of(plan, source, newest_ms=newest_ms)


@pytest.mark.parametrize("newest_ms", [0, 1, TILE_MS - 1, TILE_MS, -1])
def test_the_end_marker_closes_the_newest_tiles_and_makes_no_later_tile_late(newest_ms: int) -> None:
    watermark_ms = ending(newest_ms).marker_ms - DEPARTURES.lateness_ms
    end_ms = (newest_ms // TILE_MS + 1) * TILE_MS
    assert watermark_ms == end_ms - 1  # Flink fires [start, end) at end − 1, and drops what is of it afterwards


def test_of_a_source_without_views_it_tells_the_newest_event_alone() -> None:
    requests = PLAN.sources["flight_requests"]
    assert ending(7, requests).marker_ms == 7 + requests.lateness_ms
    assert not ending(7, requests).tiles
    assert ending(NOW_MS, requests).left_out(NOW_MS) == ""


@given(age_ms=st.integers(-SKEW_MS, LIVE_MS))
def test_no_marker_goes_ahead_of_the_clock_unless_it_is_asked_for(age_ms: int) -> None:
    assert ending(NOW_MS - age_ms).is_live(NOW_MS)


@given(age_ms=st.integers(LIVE_MS + TILE_MS, 10**13))
def test_history_ends_with_one(age_ms: int) -> None:
    assert not ending(NOW_MS - age_ms).is_live(NOW_MS)


class Topic:
    """Two partitions, all read."""

    def extents(self) -> dict[int, Extent]:
        return dict.fromkeys((0, 1), Extent(first=0, decided=0, end=0))

    def first_records(self, spans: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        return {number: end for number, (_, end) in spans.items()}


@settings(deadline=None)
@given(now_ms=st.integers(NOW_MS, NOW_MS + TILE_MS), gap_ms=st.integers(1, 60_000), again_ms=st.integers(0, 60_000))
def test_two_live_runs_within_a_minute_make_no_event_late(now_ms: int, gap_ms: int, again_ms: int) -> None:
    """The second run's events are newer than the first's, and some are of the tile that the first ended in."""
    watermarks = Watermarks(lateness_ms=DEPARTURES.lateness_ms, idle_ms=10_000, log=Topic(), wall_ms=lambda: now_ms, pause=lambda _: None)

    def told(*times_ms: int) -> list[int]:
        places = np.array([number % 2 for number, _ in enumerate(times_ms)], dtype=np.int64)
        offsets = np.arange(len(times_ms), dtype=np.int64)
        return list(watermarks.advance(places, offsets, np.array(times_ms, dtype=np.int64)).tolist())

    newest_ms = now_ms - 1_000
    told(newest_ms - 1, newest_ms)
    if not ending(newest_ms).is_live(now_ms):
        told(*[ending(newest_ms).marker_ms] * 2)
    for event_ms in (newest_ms + gap_ms, newest_ms + gap_ms + again_ms):
        (reached,) = told(event_ms)
        assert (event_ms // TILE_MS + 1) * TILE_MS - 1 > reached


def test_what_is_closed_ahead_of_the_clock_is_told() -> None:
    end = ending(NOW_MS)
    now_ms = end.closed_ms - 34_000
    assert end.sent(2, now_ms).endswith(", 34 s ahead of now: events of before that are late from now on")
    assert "\ntiles closed up to 2023-11-14T22:15:00.000Z, 34 s ahead of now" in end.sent(2, now_ms)
    assert end.sent(1, end.closed_ms) == ", and an end marker to its partition"
    assert end.left_out(now_ms) == (
        "\nthe newest event is live, 1 min 5 s behind now: later events close its tiles; "
        "to close them at once, up to 2023-11-14T22:15:00.000Z, 34 s ahead of now, say --marker"
    )


def test_a_marker_that_jobs_would_pass_over_is_refused() -> None:
    """The gate takes no time from a marker that is further ahead than event times may be: asked for, it would do nothing, unseen."""
    end = ending(NOW_MS)
    end.check(end.marker_ms - SKEW_MS, skew_ms=SKEW_MS)
    with pytest.raises(SettingError, match=r"it tells a time 5 min 7 s ahead of now; jobs pass over markers of more than 5 min "):
        end.check(end.marker_ms - SKEW_MS - 7_000, skew_ms=SKEW_MS)
