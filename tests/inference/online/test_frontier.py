"""The frontier says what is readable: never early, in order, whatever is repeated."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.online.connection import connect
from inference.online.redis.connection import Client
from inference.online.redis.layout import frontier_fields, frontier_key
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from schemas.errors import ServiceError
from tests.inference.example import BY_KEY, one_tile_of_each

VIEW = "departures"
TILE_MS = 300_000


def names(client: Client) -> set[str]:
    """The accounting keys that are left."""
    keys: Any = client.keys("tidemark:*{*}:*")
    return {key.decode().rpartition("}:")[2] for key in keys}


def test_a_closing_waits_for_all_its_tiles(client: Client) -> None:
    frontiers = RedisStore(client).frontiers()
    assert frontiers.read([VIEW]) == {VIEW: None}
    assert frontiers.stored(VIEW, {TILE_MS: [b"a", b"b"]}) is None
    assert frontiers.closed(VIEW, [(TILE_MS, 3)]) is None
    assert frontiers.stored(VIEW, {TILE_MS: [b"b"]}) is None
    assert frontiers.stored(VIEW, {TILE_MS: [b"c"]}) == TILE_MS
    assert frontiers.read([VIEW, "other"]) == {VIEW: TILE_MS, "other": None}


def test_a_later_closing_waits_for_the_earlier_and_silence_closes_at_once(client: Client) -> None:
    frontiers = RedisStore(client).frontiers()
    assert frontiers.closed(VIEW, [(0, 0), (TILE_MS, 1), (2 * TILE_MS, 0), (5 * TILE_MS, 1)]) == 0
    assert frontiers.stored(VIEW, {5 * TILE_MS: [b"a"]}) == 0
    assert frontiers.stored(VIEW, {TILE_MS: [b"a"]}) == 5 * TILE_MS
    assert names(client) == {"frontier"}


def test_what_is_said_again_after_a_restart_changes_nothing(client: Client) -> None:
    frontiers = RedisStore(client).frontiers()
    closings = [(k * TILE_MS, 1) for k in range(-3, 4)]
    for end, _ in closings:
        frontiers.stored(VIEW, {end: [b"a"]})
    assert frontiers.closed(VIEW, closings) == 3 * TILE_MS
    assert frontiers.closed(VIEW, closings) == 3 * TILE_MS
    assert frontiers.stored(VIEW, {-TILE_MS: [b"a"], 3 * TILE_MS: [b"a", b"late"]}) == 3 * TILE_MS
    assert names(client) == {"frontier"}


def test_tiles_wait_for_their_closing_however_long_and_leave_nothing_once_a_later_one_has_passed(client: Client) -> None:
    frontiers = RedisStore(client).frontiers()
    frontiers.stored(VIEW, {TILE_MS: [b"a"], 2 * TILE_MS: [b"a"]})
    raw: Any = client
    assert {raw.pttl(key) for key in raw.keys("tidemark:*{*}:*")} == {-1}
    assert frontiers.closed(VIEW, [(2 * TILE_MS, 1)]) == 2 * TILE_MS
    assert names(client) == {"frontier"}


def test_very_many_tiles_of_one_end(client: Client) -> None:
    frontiers = RedisStore(client).frontiers()
    keys = [b"%d" % number for number in range(20_000)]
    assert frontiers.closed(VIEW, [(TILE_MS, len(keys))]) is None
    assert frontiers.stored(VIEW, {TILE_MS: keys}) == TILE_MS


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_in_any_interleaving_it_is_never_ahead_of_the_tiles_and_ends_at_the_last_closing(
    client: Client, counts: list[int], random: random.Random
) -> None:
    client.flushall()
    frontiers = RedisStore(client).frontiers()
    tiles = [(end, b"%d" % n) for end, count in enumerate(counts) for n in range(count)]
    steps: list[tuple[str, Any]] = [("tile", tile) for tile in tiles + (random.choices(tiles, k=3) if tiles else [])]
    random.shuffle(steps)
    for end, count in reversed(list(enumerate(counts))):
        later = [i for i, (kind, closing) in enumerate(steps) if kind == "closing"]
        steps.insert(random.randint(0, min(later, default=len(steps))), ("closing", (end, count)))
    done: set[tuple[int, bytes]] = set()
    frontier = None
    for kind, step in steps:
        if kind == "tile":
            done.add(step)
            frontier = frontiers.stored(VIEW, {step[0] * TILE_MS: [step[1]]})
        else:
            frontier = frontiers.closed(VIEW, [(step[0] * TILE_MS, step[1])])
        assert frontier is None or {tile for tile in tiles if tile[0] * TILE_MS <= frontier} <= done
        assert frontiers.read([VIEW])[VIEW] == frontier
    assert frontier == (len(counts) - 1) * TILE_MS


def test_the_writer_accounts_for_its_tiles(client: Client) -> None:
    writer = TileWriter(BY_KEY, RedisStore(client))
    assert writer.close(BY_KEY.tile_ms, 20) is None
    assert writer.write(one_tile_of_each(BY_KEY, [0])) == BY_KEY.tile_ms
    assert writer.frontier() == BY_KEY.tile_ms


@pytest.mark.parametrize("revision", [-1, 1_800_000_000_000])
def test_a_closing_waits_for_the_stream_s_own_tiles(client: Client, revision: int) -> None:
    writer = TileWriter(BY_KEY, RedisStore(client))
    tiles = one_tile_of_each(BY_KEY, [0])
    other = tiles.set_column(tiles.schema.get_field_index("revision"), "revision", pa.array([revision] * len(tiles)))
    assert writer.close(BY_KEY.tile_ms, len(tiles)) is None
    writer.write(other)
    assert writer.frontier() is None
    assert names(client) == {"closings", "announced"}
    writer.write(tiles.slice(1))
    assert writer.frontier() is None
    assert writer.write(tiles) == BY_KEY.tile_ms


def test_tiles_that_stand_in_for_the_stream_s_are_accounted_for(client: Client) -> None:
    writer = TileWriter(BY_KEY, RedisStore(client))
    tiles = one_tile_of_each(BY_KEY, [0])
    other = tiles.set_column(tiles.schema.get_field_index("revision"), "revision", pa.array([-1] * len(tiles)))
    writer.close(BY_KEY.tile_ms, len(tiles))
    assert writer.write(other, stand_in=True) == BY_KEY.tile_ms


def test_projects_do_not_mix(client: Client) -> None:
    RedisStore(client).frontiers(project="one").closed(VIEW, [(TILE_MS, 0)])
    assert RedisStore(client).frontiers(project="two").read([VIEW]) == {VIEW: None}


def test_the_published_frontier_never_goes_back(client: Client) -> None:
    frontiers = RedisStore(client).frontiers()
    frontiers.closed(VIEW, [(-TILE_MS, 0), (0, 0), (7 * TILE_MS, 0)])
    client.delete("tidemark:tidemark:{departures}:frontier")
    frontiers.closed(VIEW, [(TILE_MS, 0)])
    assert frontiers.read([VIEW]) == {VIEW: 7 * TILE_MS}
    field: Any = frontier_fields(VIEW)[0]
    key: Any = frontier_key("tidemark")
    assert client.hget(key, field) is not None


def test_an_unreachable_server_is_one_clear_line(nobody: str) -> None:
    with pytest.raises(ServiceError, match=r"redis 127\.0\.0\.1:\d+: does not serve: .*tidemark up"):
        connect(nobody).frontiers().read([VIEW])
