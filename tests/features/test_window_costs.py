"""What windows are said to cost is what a read takes at its worst, and the hop that is said to do compiles and costs what was said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.columns.tile_table import Tiles
from features.columns.values import Values
from features.kernel.fold import fold_counting
from features.partials.count import CountPartial
from features.partials.finish import VALUE
from features.plan import ViewPlan, WindowFeature
from features.tiles.codec import TileCodec
from features.window import Lifetime, Sliding, Window
from features.window_costs import DEAR, ViewCost, WindowCost
from schemas.types import DataType
from tests.features.kernel.example import VIEW

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
COUNT = CountPartial.of(None)


def view_of(*windows: Window, tile_ms: int = MINUTE) -> ViewPlan:
    """A view of counts."""
    features = tuple(
        WindowFeature(name=f"n{number}", finish=VALUE, partials=(COUNT,), window=window, type=DataType.INT64, text="")
        for number, window in enumerate(windows)
    )
    return replace(VIEW, features=features, partials=(COUNT,), tile_ms=tile_ms)


def cost_of(view: ViewPlan, window: Window, slack_ms: int = 0) -> WindowCost:
    return next(cost for cost in ViewCost.of(view, slack_ms=slack_ms).windows if cost.window == window)


def taken(begin: int, end: int, levels: tuple[int, ...]) -> int:
    """Tiles from one time to another, each the largest that begins there and fits."""
    count = 0
    while begin < end:
        begin += max(level for level in levels if begin % level == 0 and begin + level <= end)
        count += 1
    return count


@st.composite
def views(draw: st.DrawFn) -> ViewPlan:
    """Small views: hops that divide one another, exact windows, sizes that are no multiples of hops."""
    hops, size = [1], MINUTE
    for factor in draw(st.lists(st.integers(2, 12), max_size=3)):
        size *= factor
        hops.append(size)
    windows = []
    for hop in draw(st.lists(st.sampled_from(hops), min_size=1, max_size=4)):
        least = max(hop, MINUTE) // MINUTE
        windows.append(Sliding(size_ms=MINUTE * draw(st.integers(least, least + 300)), hop_ms=hop))
    return view_of(*dict.fromkeys(windows))


@settings(max_examples=60)
@given(views())
def test_no_read_takes_more_tiles_than_told_and_one_takes_as_many(view: ViewPlan) -> None:
    for cost in ViewCost.of(view, slack_ms=0).windows:
        assert isinstance(cost.window, Sliding)
        size, hop = cost.window.size_ms, cost.window.hop_ms
        ends = range(0, max(view.levels_ms[-1], hop), MINUTE)
        assert cost.reads == max(taken((end - size) // hop * hop, end, view.levels_ms) for end in ends)


def test_what_is_told_is_what_the_kernel_folds() -> None:
    window = Sliding(size_ms=2 * DAY, hop_ms=HOUR)
    view = view_of(window)
    starts = [(level, start) for level, size in enumerate(view.levels_ms) for start in range(-4 * DAY, 4 * DAY, size)]
    level, start = (np.array(each, dtype=np.int64) for each in zip(*starts, strict=True))
    counts = Values(numbers=np.array(view.levels_ms)[level])
    merged = np.array([4 * DAY])
    tiles = Tiles(owner=np.zeros(len(start), dtype=np.int64), start_ms=start, columns={"count": counts}, level=level, merged_ms=merged)
    ends = np.arange(0, DAY, MINUTE)
    columns, folded = fold_counting(view, tiles, owner=np.zeros(len(ends), dtype=np.int64), boundary_ms=ends)
    assert int(folded.max()) == cost_of(view, window).reads
    assert columns["n0"].to_pylist() == [end - (end - 2 * DAY) // HOUR * HOUR for end in ends.tolist()]


@pytest.mark.parametrize(
    ("window", "tile_ms", "folded"),
    [
        (Sliding(size_ms=3 * HOUR), MINUTE, (180,)),
        (Sliding(size_ms=30 * DAY), MINUTE, (43_200,)),
        (Sliding(size_ms=30 * DAY, hop_ms=DAY), MINUTE, (59, 23, 30)),
        (Sliding(size_ms=90 * DAY, hop_ms=DAY), 5 * MINUTE, (11, 23, 90)),
        (Sliding(size_ms=12 * MINUTE, hop_ms=5 * MINUTE), MINUTE, (4, 2)),
    ],
)
def test_a_window_takes_so_many_tiles_of_each_level(window: Sliding, tile_ms: int, folded: tuple[int, ...]) -> None:
    assert cost_of(view_of(window, tile_ms=tile_ms), window).folded == folded


def test_a_store_keeps_small_tiles_for_what_is_not_merged_yet_and_for_the_slack() -> None:
    hops, exact = Sliding(size_ms=30 * DAY, hop_ms=DAY), Sliding(size_ms=2 * HOUR)
    view = view_of(hops, exact)
    both = ViewCost.of(view, slack_ms=6 * HOUR)
    assert both.kept == (8 * 60, 24 + 6, 31 + 1)
    record = TileCodec(view=view).record
    assert record is not None
    assert both.kept_bytes == sum(both.kept) * record.itemsize
    assert [each.kept_bytes // record.itemsize for each in both.windows] == [7 * 60 + 30 + 32, 8 * 60 + 2 + 6]
    assert not both.varies


def test_tiles_with_text_are_told_by_what_they_take_at_least() -> None:
    """Of a tile of every kind of column that the codec packs, all of them null."""
    cost, zero = ViewCost.of(VIEW, slack_ms=0), np.zeros(1, dtype=np.int64)
    nulls = {column.name: Values.of(pa.array([None], column.type.arrow), column.type) for column in VIEW.tile_columns}
    assert {column.type for column in VIEW.tile_columns} == set(DataType) - {DataType.BYTES}  # no aggregation takes bytes
    (packed,) = TileCodec(view=VIEW).pack(start_ms=zero, revision=zero, columns=nulls)
    assert cost.varies
    assert cost.kept_bytes == sum(cost.kept) * len(packed)


def test_all_of_time_takes_the_base_and_what_is_not_in_it_yet() -> None:
    view = view_of(Lifetime(), Sliding(size_ms=HOUR), Sliding(size_ms=DAY, hop_ms=HOUR))
    cost = cost_of(view, Lifetime(), slack_ms=2 * HOUR)
    assert (cost.folded, cost.reads, cost.dear) == ((27 * 60,), 27 * 60 + 1, False)
    assert cost_of(view, Sliding(size_ms=DAY, hop_ms=HOUR)).folded == (DAY // MINUTE + 59,)
    assert ViewCost.of(view, slack_ms=2 * HOUR).kept == (27 * 60,)


@pytest.mark.parametrize(
    ("size_ms", "tile_ms", "hop_ms"),
    [
        (DAY, MINUTE, 15 * MINUTE),
        (3 * DAY, MINUTE, HOUR),
        (7 * DAY, MINUTE, 6 * HOUR),
        (30 * DAY, MINUTE, DAY),
        (90 * DAY, MINUTE, DAY),
        (365 * DAY, 5 * MINUTE, 7 * DAY),
        (2 * HOUR, 1_000, 5 * MINUTE),
        (30 * DAY, 7 * MINUTE, 62 * 7 * MINUTE),  # of no natural hop is it a multiple
    ],
)
def test_a_dear_window_is_told_the_smallest_natural_hop_that_would_do(size_ms: int, tile_ms: int, hop_ms: int) -> None:
    size_ms = size_ms // tile_ms * tile_ms
    cost = cost_of(view_of(Sliding(size_ms=size_ms), tile_ms=tile_ms), Sliding(size_ms=size_ms))
    assert cost.dear
    assert cost.better is not None
    assert cost.better.window == Sliding(size_ms=size_ms, hop_ms=hop_ms)
    assert cost.better.reads <= 200 < DEAR < cost.reads
    assert cost.better.kept_bytes < cost.kept_bytes / 5


@settings(max_examples=60)
@given(views(), st.sampled_from([1, 5 * MINUTE, HOUR]), st.integers(1, 60))
def test_the_hop_that_would_do_fits_the_others_and_costs_what_is_told(view: ViewPlan, hop_ms: int, days: int) -> None:
    window = Sliding(size_ms=days * DAY, hop_ms=hop_ms)
    if any(max(hop_ms, other.hop_ms) % min(hop_ms, other.hop_ms) for other in view.windows if isinstance(other, Sliding)):
        return
    others = [feature.window for feature in view.features]
    cost = cost_of(view_of(*others, window), window)
    assert cost.dear == (max(cost.reads, window.size_ms // max(hop_ms, MINUTE)) > DEAR)
    if cost.better is not None:
        better = cost.better.window
        assert isinstance(better, Sliding)
        assert better.size_ms // better.hop_ms <= 100
        assert all(max(better.hop_ms, each.hop_ms) % min(better.hop_ms, each.hop_ms) == 0 for each in others if isinstance(each, Sliding))
        again = cost_of(view_of(*others, better), better)
        assert (again.reads, again.kept_bytes, again.better) == (cost.better.reads, cost.better.kept_bytes, None)


def test_a_hop_that_is_small_for_its_window_is_dear_and_no_hop_is_told_where_none_fits() -> None:
    hourly = Sliding(size_ms=90 * DAY, hop_ms=HOUR)
    cost = cost_of(view_of(hourly), hourly)
    assert (cost.dear, cost.reads) == (True, 90 * 24 + 59)
    assert cost.better is not None
    assert cost.better.window == Sliding(size_ms=90 * DAY, hop_ms=DAY)
    odd = view_of(hourly, Sliding(size_ms=100 * DAY, hop_ms=100 * DAY + HOUR - DAY))
    assert cost_of(odd, hourly).dear
    assert cost_of(odd, hourly).better is None


def test_a_window_of_very_many_tiles_is_told_of_in_no_time() -> None:
    window = Sliding(size_ms=3_650 * DAY, hop_ms=30 * DAY)
    cost = cost_of(view_of(window, tile_ms=1_000), window)
    assert sum(cost.folded[:-1]) == sum(
        larger // small - 1 for small, larger in zip(*[view_of(window, tile_ms=1_000).levels_ms[n:] for n in (0, 1)], strict=False)
    )
    assert cost.folded[-1] == -(-3_650 // 30) - 1
