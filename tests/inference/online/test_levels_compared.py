"""Generations, views and Feast beside one another where the store has larger levels of tiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import inference.online.writer
from features.compiler.feast import AS_OF
from features.plan import Plan
from features.tiles.codec import HEAD, LENGTH, TileCodec
from features.window import Sliding
from inference.feast_registry import registry
from inference.online.generation_diff import Generations, last
from inference.online.redis.connection import Client
from inference.online.redis.layout import EntityKeys, packed_of, tiles_fields, value_of
from inference.online.redis.store import RedisStore
from inference.online.view_diff import compare
from inference.online.writer import TileWriter
from tests.features.kernel.example import DELAY_MS, TILE_MS
from tests.features.kernel.test_kernel_is_the_oracle import values
from tests.inference.example import rows_table
from tests.inference.online.levels import (
    FAR_MS,
    NUMBERS,
    NUMBERS_BASE,
    WINDOWS,
    World,
    levelled,
    reading,
    writer_of,
)


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
    plain = levelled(NUMBERS_BASE, "plain", exact)
    mixed = levelled(NUMBERS_BASE, "mixed", {**exact, next(iter(WINDOWS)): Sliding(size_ms=45 * TILE_MS, hop_ms=15 * TILE_MS)})
    assert len(plain.levels_ms) == 1 and len(mixed.levels_ms) == 2
    for view in (plain, mixed):
        world, writer = World(view), writer_of(client, view, slack=30)
        writer.write(rows_table(view, [world.send("a", number) for number in range(900)]))
        writer.close(900 * TILE_MS, 0)
    found = deque(compare(RedisStore(client), plain, mixed, project="tidemark", points=20), maxlen=1).pop()
    assert sum(each.values for each in found) >= 20 * len(found) > 0
    assert [each.one for each in found if each.different] == []
