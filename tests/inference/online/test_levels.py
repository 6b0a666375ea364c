"""Larger levels in the store: whatever comes, in any order, windows with hops are what the small tiles alone would make, from far fewer tiles."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import inference.online.writer
from features.columns.column import Column
from features.columns.tile_table import Tiles
from features.compiler.feast import AS_OF
from features.kernel.fold import fold
from features.plan import Plan, ViewPlan, WindowFeature
from features.tiles.codec import HEAD, LENGTH, TileCodec
from features.tolerances import differences, view_rules
from features.window import Sliding, Window
from inference.feast_registry import registry
from inference.online.generation_diff import Generations, last
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client
from inference.online.redis.layout import EntityKeys, cold_fields, packed_of, tiles_fields, value_of
from inference.online.redis.store import RedisStore
from inference.online.served import Served
from inference.online.view_diff import compare
from inference.online.writer import TileWriter
from schemas.types import DataType
from tests.features.kernel.example import DELAY_MS, TILE_MS, VIEW, build_tiles
from tests.features.kernel.test_kernel_is_the_oracle import event, values
from tests.inference.example import SERVICE, requests_of, rows_table

WINDOWS: Mapping[Window, Window] = {
    Sliding(size_ms=TILE_MS): Sliding(size_ms=12 * TILE_MS),  # longer than a tile of the second level: its tail needs small ones too
    Sliding(size_ms=5 * TILE_MS): Sliding(size_ms=10 * TILE_MS, hop_ms=5 * TILE_MS),
    Sliding(size_ms=180 * TILE_MS): Sliding(size_ms=45 * TILE_MS, hop_ms=15 * TILE_MS),
}
FAR_MS = 10**14 // TILE_MS * TILE_MS
NOW_MS = time.time_ns() // 1_000_000
TOP = 15  # tiles in one of the largest level
KEYS = ("a", "b")


def _levelled(view: ViewPlan, name: str, windows: Mapping[Window, Window] = WINDOWS) -> ViewPlan:
    features = tuple(replace(each, name=f"{name}_{each.name}", window=windows[each.window]) for each in view.features)
    return replace(view, name=name, entity=name, keys=(Column(name="key", type=DataType.STRING),), features=features)


WORDS = _levelled(VIEW, "hop_words")
NUMBERS_BASE = replace(
    VIEW,
    partials=tuple(p for p in VIEW.partials if p.type is not DataType.STRING),
    features=tuple(f for f in VIEW.features if all(p.type is not DataType.STRING for p in f.partials)),
)
NUMBERS = _levelled(NUMBERS_BASE, "hop_numbers")


class World:
    """What was ever sent of each tile: of several the highest revision counts.

    Args:
        view: Whose tiles.
        rough: Whether doubles are of all sizes and both signs, so that the last digits of a sum tell in which groups it was added; else they add up exactly,
            in whatever order.
    """

    def __init__(self, view: ViewPlan, *, rough: bool = False) -> None:
        self.view = view
        self.rough = rough
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}

    def send(self, key: str, number: int, *, revision: int = 0) -> dict[str, Any]:
        """A tile: the same in all revisions that do not correct it."""
        version = max(revision, 0)
        dice = random.Random(f"{key} {number} {version}")
        times = [number * TILE_MS + dice.randrange(TILE_MS) for _ in range(dice.choice([1, 1, 2, 3]))]
        events = [
            {
                **event(at, i=dice.randrange(-9, 99), x=self._double(dice), word=dice.choice("abcd"), seq=dice.randrange(3)),
                "key": key,
            }
            for at in times
        ]
        (row,) = build_tiles(self.view, events)
        known = self.rows.get((key, number))
        if known is None or revision >= known["revision"]:
            self.rows[key, number] = {**row, "revision": revision}
        return {**row, "revision": revision}

    def _double(self, dice: random.Random) -> float:
        return dice.uniform(-1, 1) * 10.0 ** dice.randrange(-3, 8) if self.rough else dice.randrange(-320, 320) / 64

    def expected(self, asked: Sequence[tuple[str, int]]) -> dict[str, pa.Array[Any]]:
        """Windows that end at these tiles, from small tiles alone."""
        rows = [row for _, row in sorted(self.rows.items())]
        table = rows_table(self.view, rows)
        owner = np.array([KEYS.index(key) for key, _ in sorted(self.rows)], dtype=np.int64)
        start_ms = np.array([number * TILE_MS for _, number in sorted(self.rows)], dtype=np.int64)
        tiles = Tiles.of(self.view.tile_columns, owner=owner, start_ms=start_ms, table=table)
        boundary = np.array([number * TILE_MS for _, number in asked], dtype=np.int64)
        return fold(self.view, tiles, owner=np.array([KEYS.index(key) for key, _ in asked], dtype=np.int64), boundary_ms=boundary)


def reading(client: Client, view: ViewPlan, asked: Sequence[tuple[str, int]]) -> Served:
    service = replace(SERVICE, name="levels", views=(view,))
    return OnlineReader(service, RedisStore(client)).read(requests_of([(key, number * TILE_MS + DELAY_MS) for key, number in asked]))


def apart(world: World, served: Served, asked: Sequence[tuple[str, int]]) -> list[tuple[str, tuple[str, int], Any, Any]]:
    """The exact values that are not what they should be."""
    exact = np.flatnonzero(~served.table["stale"].to_numpy())
    expected, rules, found = world.expected(asked), view_rules(world.view), []
    for feature in world.view.features:
        sides = [served.table[feature.name].take(exact), pa.chunked_array([expected[feature.name].take(exact)])]
        wrong = np.flatnonzero(differences(*sides) > rules[feature.name].allowed).tolist()
        found += [(feature.name, asked[exact[row]], sides[0][row].as_py(), sides[1][row].as_py()) for row in wrong]
    return found


def writer_of(client: Client, view: ViewPlan, *, slack: int = 20) -> TileWriter:
    writer = TileWriter(view, RedisStore(client), slack_ms=slack * TILE_MS)
    writer.close(FAR_MS, 0)
    return writer


def kept(client: Client, view: ViewPlan, key: str = "a") -> Any:
    raw: Any = client
    name = EntityKeys(view.keys, "tidemark").of([key])
    recent, cold = (packed_of(raw.hget(name, fields(view)[0])) for fields in (tiles_fields, cold_fields))
    codec = TileCodec(view=view)
    return codec.unpack([codec.joined(recent, cold)])


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


def test_two_generations_are_equal_whatever_each_has_merged_and_a_lost_tile_of_any_level_is_found(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, rows = World(NUMBERS), []
    for number in range(400):
        rows += [world.send("a", number), world.send("b", number)]
    for project, size, merge_at in (("one", 7, 1), ("two", 90, 8)):
        monkeypatch.setattr(inference.online.writer, "RETIRE_AT", merge_at)
        writer = TileWriter(NUMBERS, RedisStore(client), project=project, slack_ms=20 * TILE_MS)
        for begin in range(0, len(rows), size):
            writer.write(rows_table(NUMBERS, rows[begin : begin + size]))
        writer.close(FAR_MS, 0)
    both = Generations(store=RedisStore(client), views=[NUMBERS], first="one", second="two", slack_ms=20 * TILE_MS)
    found = last(both.compare())
    assert (found.examples, found.stale_bases) == ([], 0)
    assert found.tiles["hop_numbers"] >= 2 * (20 + 3 + 3)
    for level, size in ((1, 5 * TILE_MS), (2, 15 * TILE_MS)):
        with _without_a_tile(client, level):
            assert ("missing", size) in [(each.what, each.size_ms) for each in last(both.compare()).examples]


def test_what_one_generation_has_in_small_tiles_and_the_other_merged_is_compared_as_well(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(NUMBERS)
    rows = [world.send("a", number) for number in range(400)]
    for project, merge_at, sent in (("one", 1_000, rows), ("two", 1, rows[:370] + rows[371:])):
        monkeypatch.setattr(inference.online.writer, "RETIRE_AT", merge_at)
        writer = TileWriter(NUMBERS, RedisStore(client), project=project, slack_ms=TILE_MS)
        writer.write(rows_table(NUMBERS, sent[:300]))
        writer.write(rows_table(NUMBERS, sent[300:]))
        writer.close(FAR_MS, 0)
    both = Generations(store=RedisStore(client), views=[NUMBERS], first="one", second="two", slack_ms=TILE_MS)
    (found,) = last(both.compare()).examples
    assert (found.what, found.start_ms, found.columns["hop_numbers_count_3h"][0] != found.columns["hop_numbers_count_3h"][1]) == (
        "different",
        None,
        True,
    )


@contextmanager
def _without_a_tile(client: Client, level: int) -> Iterator[None]:
    """The second generation lacks the last but one tile of a level of key a."""
    raw: Any = client
    name, field = EntityKeys(NUMBERS.keys, "two").of(["a"]), tiles_fields(NUMBERS)[0]
    whole = raw.hget(name, field)
    packed, codec = packed_of(whole), TileCodec(view=NUMBERS)
    assert packed is not None and codec.record is not None
    kept_from, newest_end, layout = HEAD.unpack_from(packed)
    data, records = codec.split(packed[HEAD.size :])
    block, width = codec.level_block(data, kept_from), codec.record.itemsize
    levels = list(block.levels)
    kept_records = bytes(levels[level - 1].records)
    levels[level - 1] = replace(levels[level - 1], records=kept_records[: -2 * width] + kept_records[-width:])
    short = replace(block, levels=levels).packed
    raw.hset(name, field, value_of(b"".join([HEAD.pack(kept_from, newest_end, layout), LENGTH.pack(len(short)), short, bytes(records)])))
    try:
        yield
    finally:
        raw.hset(name, field, whole)


def test_feast_reads_the_same_values(client: Client, tmp_path: Path) -> None:
    world, writer = World(NUMBERS), writer_of(client, NUMBERS, slack=100)
    writer.write(rows_table(NUMBERS, [world.send("a", number) for number in range(400)]))
    host = client.connection_pool.connection_kwargs
    plan = Plan(sources={"events": NUMBERS.source}, views={NUMBERS.name: NUMBERS}, services={})
    store = registry(plan, redis=f"{host['host']}:{host['port']}", folder=tmp_path)
    asked = [("a", number) for number in (310, 399, 400, 444)]
    features = [f"{NUMBERS.name}:{feature.name}" for feature in NUMBERS.features]
    rows = [{"key": key, AS_OF: number * TILE_MS + DELAY_MS} for key, number in asked]
    answer = store.get_online_features(features=features, entity_rows=rows).to_dict()
    served = reading(client, NUMBERS, asked).table
    for feature in NUMBERS.features:
        assert answer[feature.name] == values(served[feature.name].combine_chunks()), feature.name


def test_a_view_shadows_one_without_larger_levels(client: Client) -> None:
    exact = {size: Sliding(size_ms=3 * size.reach_ms) for size in WINDOWS}
    plain = _levelled(NUMBERS_BASE, "plain", exact)
    mixed = _levelled(NUMBERS_BASE, "mixed", {**exact, next(iter(WINDOWS)): Sliding(size_ms=45 * TILE_MS, hop_ms=15 * TILE_MS)})
    assert len(plain.levels_ms) == 1 and len(mixed.levels_ms) == 2
    for view in (plain, mixed):
        world, writer = World(view), writer_of(client, view, slack=30)
        writer.write(rows_table(view, [world.send("a", number) for number in range(900)]))
        writer.close(900 * TILE_MS, 0)
    found = deque(compare(RedisStore(client), plain, mixed, project="tidemark", points=20), maxlen=1).pop()
    assert sum(each.values for each in found) >= 20 * len(found) > 0
    assert [each.one for each in found if each.different] == []
