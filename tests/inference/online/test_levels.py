"""Larger levels in the store: whatever comes, in any order, windows with hops are what the small tiles alone would make, from far fewer tiles."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import inference.online.writer
from features.plan import ViewPlan, WindowFeature
from features.window import Sliding
from inference.online.redis.connection import Client
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from tests.features.kernel.example import TILE_MS
from tests.inference.example import rows_table
from tests.inference.online.levels import (
    FAR_MS,
    KEYS,
    NOW_MS,
    NUMBERS,
    TOP,
    WORDS,
    World,
    apart,
    kept,
    reading,
    writer_of,
)


@pytest.mark.slow
@pytest.mark.parametrize("view", [NUMBERS, WORDS], ids=lambda view: view.name)
@pytest.mark.parametrize("slack", [20, 100])
def test_a_stream_in_order_is_exact_as_far_back_as_the_slack_and_keeps_few_tiles(client: Client, view: ViewPlan, slack: int) -> None:
    world, writer = World(view), writer_of(client, view, slack=slack)
    for first in range(0, 400, 7):
        writer.write(rows_table(view, [world.send(key, number) for number in range(first, min(first + 7, 400)) for key in KEYS]))
    asked = [(key, number) for number in range(400 - slack, 460) for key in KEYS]
    served = reading(client, view, asked)
    assert not served.table["stale"].to_pylist().count(True)
    assert apart(world, served, asked) == []
    tiles = kept(client, view).tiles
    most = [reach // size + slack + 2 * TOP for reach, size in zip(view.reaches_ms, view.levels_ms, strict=True)]
    counts = np.bincount(tiles.level, minlength=3).tolist()
    assert all(count <= bound for count, bound in zip(counts, most, strict=True)), counts
    assert counts[1] >= 3 and counts[2] >= 3  # so that it is about larger tiles
    assert served.tiles[view.name].max() <= 5 + 3 + 3 + 60


@pytest.mark.slow
@pytest.mark.parametrize("view", [NUMBERS, WORDS], ids=lambda view: view.name)
@pytest.mark.parametrize("merge_at", [1, 16, 1_000])
def test_sums_of_doubles_are_the_same_in_every_bit_however_much_is_merged(
    client: Client, monkeypatch: pytest.MonkeyPatch, view: ViewPlan, merge_at: int
) -> None:
    monkeypatch.setattr(inference.online.writer, "RETIRE_AT", merge_at)
    world, writer = World(view, rough=True), writer_of(client, view, slack=100)
    for first in range(0, 250, 11):
        writer.write(
            rows_table(view, [world.send(key, number) for number in range(first, min(first + 11, 250)) if number % 7 for key in KEYS])
        )
        asked = [(key, number) for number in range(max(first - 40, 0), first + 60, 2) for key in KEYS]
        table, expected = reading(client, view, asked).table, world.expected(asked)
        assert not any(table["stale"].to_pylist())
        for feature in view.features:
            assert table[feature.name].to_pylist() == expected[feature.name].to_pylist(), feature.name


@pytest.mark.parametrize("slack", [20, 60])
def test_what_lies_further_back_than_the_slack_is_stale_and_never_wrong(client: Client, slack: int) -> None:
    world, writer = World(NUMBERS), writer_of(client, NUMBERS, slack=slack)
    writer.write(rows_table(NUMBERS, [world.send("a", number) for number in range(400)]))
    asked = [("a", number) for number in range(400)]
    served = reading(client, NUMBERS, asked)
    assert served.table["stale"].to_pylist()[:250] == [True] * 250
    assert apart(world, served, asked) == []


Step = tuple[str, str, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["stream", "stream", "again", "history", "correct", "replace"]),
        st.sampled_from(KEYS),
        st.integers(0, 250),
        st.integers(1, 60),
    ),
    min_size=1,
    max_size=14,
)


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps,
    st.integers(1, 40),
    st.sampled_from([1, 4, 32]),
    st.sampled_from([(20, 1_024), (200, 1_024), (20, 12)]),
    st.randoms(use_true_random=False),
)
def test_whatever_comes_in_any_order_is_exact_or_says_that_it_is_not(
    client: Client, plan: list[Step], size: int, merge_at: int, keeping: tuple[int, int], dice: random.Random
) -> None:
    client.flushall()
    with pytest.MonkeyPatch.context() as patch:
        slack, long_tiles = keeping
        patch.setattr(inference.online.writer, "RETIRE_AT", merge_at)
        patch.setattr(inference.online.writer, "_LONG_TILES", long_tiles)
        for view in (NUMBERS, WORDS):
            world, writer = World(view), writer_of(client, view, slack=slack)
            for turn, (kind, key, first, count) in enumerate(plan):
                rows = _rows(world, kind, key, first, count, revision=NOW_MS + turn)
                dice.shuffle(rows)
                for begin in range(0, len(rows), size):
                    writer.write(rows_table(view, rows[begin : begin + size]))
            asked = [(key, number) for number in range(0, 320, 3) for key in KEYS]
            served = reading(client, view, asked)
            assert apart(world, served, asked) == []
            for key in KEYS:
                newest = max((number for owner, number in world.rows if owner == key), default=0)
                mine = [
                    stale
                    for (owner, number), stale in zip(asked, served.table["stale"].to_pylist(), strict=True)
                    if owner == key and number > newest - slack
                ]
                assert not any(mine)


def _rows(world: World, kind: str, key: str, first: int, count: int, *, revision: int) -> list[dict[str, Any]]:
    """Tiles as a stream sends them, again, from history; or corrected, with all of the intervals that they are in."""
    numbers = [number for number in range(first, first + count) if (number // 4 + len(key)) % 3]
    if kind in ("stream", "again"):
        return [world.send(key, number) for number in numbers]
    if kind == "history":
        return [world.send(key, number, revision=-1) for number in numbers]
    tops = {number // TOP for number in numbers}
    everything = sorted({number for owner, number in world.rows if owner == key and number // TOP in tops} | set(numbers))
    return [world.send(key, number, revision=revision) for number in everything]


def test_a_correction_of_one_tile_of_many_is_stale_until_the_others_have_come_again(client: Client) -> None:
    world, writer = World(NUMBERS), writer_of(client, NUMBERS)
    writer.write(rows_table(NUMBERS, [world.send("a", number) for number in range(400)]))
    asked = [("a", 400)]
    corrected = [world.send("a", number, revision=NOW_MS) for number in range(345, 360)]
    for row in corrected[:-1]:
        writer.write(rows_table(NUMBERS, [row]))
        assert reading(client, NUMBERS, asked).table["stale"].to_pylist() == [True]
    writer.write(rows_table(NUMBERS, corrected[-1:]))
    served = reading(client, NUMBERS, asked)
    assert served.table["stale"].to_pylist() == [False]
    assert apart(world, served, asked) == []


@pytest.mark.parametrize("step", [1, 8, 50])
def test_a_key_that_may_have_been_forgotten_is_exact_once_its_windows_begin_later(client: Client, step: int) -> None:
    world = World(NUMBERS)
    writer = TileWriter(NUMBERS, RedisStore(client), slack_ms=100 * TILE_MS, forgets=True)
    rows = [world.send("a", number) for number in range(103, 250)]
    for begin in range(0, len(rows), step):
        writer.write(rows_table(NUMBERS, rows[begin : begin + step]))
    writer.close(FAR_MS, 0)
    asked = [("a", number) for number in range(150, 260)]
    served = reading(client, NUMBERS, asked)
    assert apart(world, served, asked) == []
    known = 104 if step == 1 else 103 + step  # of the first tiles that came nobody knows what was before the last of them
    begins = [(number - 45) // 15 * 15 for _, number in asked]
    merged = -(-known // 5) * 5  # where the first interval begins that was merged as a whole
    assert all(not stale for stale, begin in zip(served.table["stale"].to_pylist(), begins, strict=True) if begin >= merged)
    assert all(stale for stale, begin in zip(served.table["stale"].to_pylist(), begins, strict=True) if begin < known)


def test_what_is_stale_since_a_key_may_have_been_forgotten_still_counts_all_that_came(client: Client) -> None:
    world = World(NUMBERS)
    writer = TileWriter(NUMBERS, RedisStore(client), slack_ms=100 * TILE_MS, forgets=True)
    rows = [world.send("a", number) for number in range(103, 200)]
    for begin in range(0, len(rows), 8):
        writer.write(rows_table(NUMBERS, rows[begin : begin + 8]))
    writer.close(FAR_MS, 0)
    asked = [("a", number) for number in range(151, 165)]  # their longest windows begin at 105, in the middle of what came first
    served, expected = reading(client, NUMBERS, asked), world.expected(asked)
    assert served.table["stale"].to_pylist() == [True] * len(asked)
    assert served.table["hop_numbers_count_3h"].to_pylist() == expected["hop_numbers_count_3h"].to_pylist()


def test_tiles_that_another_slack_dropped_are_not_said_to_be_there(client: Client) -> None:
    world = World(NUMBERS)
    for slack, numbers in ((100, range(300)), (5, range(300, 420)), (100, range(420, 480))):
        writer = writer_of(client, NUMBERS, slack=slack)
        for begin in numbers[::20]:
            writer.write(rows_table(NUMBERS, [world.send("a", number) for number in range(begin, begin + 20)]))
    asked = [("a", number) for number in range(150, 490)]
    assert apart(world, reading(client, NUMBERS, asked), asked) == []


def test_a_changed_hop_leaves_the_old_tiles_unread_and_says_so(client: Client) -> None:
    world, other = World(NUMBERS), replace(NUMBERS, features=tuple(_other_hop(each) for each in NUMBERS.features))
    writer_of(client, NUMBERS).write(rows_table(NUMBERS, [world.send("a", number) for number in range(200)]))
    asked = [("a", 200)]
    assert reading(client, other, asked).table["stale"].to_pylist() == [True]
    writer, changed = writer_of(client, other), World(other)
    for number in range(200, 300):
        writer.write(rows_table(other, [changed.send("a", number)]))
    served = reading(client, other, [("a", 210), ("a", 300)])
    assert served.table["stale"].to_pylist() == [True, False]
    assert apart(changed, served, [("a", 210), ("a", 300)]) == []


def _other_hop(feature: WindowFeature) -> WindowFeature:
    window = feature.window
    assert isinstance(window, Sliding)
    return replace(feature, window=replace(window, hop_ms=20 * TILE_MS) if window.hop_ms == 15 * TILE_MS else window)
