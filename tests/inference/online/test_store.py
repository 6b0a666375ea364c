"""The store keeps what it must of what any number of writers write, in any order."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inference.online.writer
from features.columns.values import Int64s
from features.tiles.codec import NOTHING_DROPPED, TileCodec
from features.window import Sliding
from inference.online.connection import connect
from inference.online.redis.connection import Client
from inference.online.redis.layout import EntityKeys, cold_fields, packed_of, tiles_fields
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter, cold_split
from schemas.errors import DataError, ServiceError
from tests.features.kernel.example import TILE_MS, build_tiles
from tests.features.kernel.test_kernel_is_the_oracle import event
from tests.inference.example import BY_KEY, BY_ZONE, VIEWS, WORDS, ZONES, rows_table, tiles_of
from tests.waiting import PATIENCE_S

HOUR_MS = 3_600_000


def stored(client: Client, view: Any = BY_KEY, key: str = "a") -> dict[bytes, bytes]:
    """Everything in the entity's hash."""
    values = [ZONES[key] if column.name == "zone" else key for column in view.keys]
    content: Any = client.hgetall(EntityKeys(view.keys, "tidemark").of(values))  # type: ignore[arg-type]
    return dict(content)


def unpacked(client: Client, view: Any = BY_KEY, key: str = "a") -> tuple[list[tuple[int, int]], int]:
    """(tile start, sum of i) of every kept tile, and kept_from."""
    codec, values = TileCodec(view=view), stored(client, view, key)
    tiles, older = (packed_of(values.get(fields(view)[0])) for fields in (tiles_fields, cold_fields))
    read = codec.unpack([codec.joined(tiles, older)])
    sums: Int64s = read.tiles.columns["sum_i"].numbers
    return list(zip(read.tiles.start_ms.tolist(), sums.tolist(), strict=True)), int(read.kept_from_ms[0])


def revised(view: Any, versions: list[tuple[int, int, int]]) -> list[pa.Table]:
    """One table per (tile number, revision, sum)."""
    tables = []
    for number, revision, total in versions:
        (row,) = build_tiles(view, [event(number * TILE_MS, i=total, word="w" * (total % 3))])
        tables.append(rows_table(view, [{**row, "zone": ZONES["a"], "revision": revision}]))
    return tables


writes = st.lists(st.tuples(st.integers(-200, 400), st.integers(0, 3)), min_size=1, max_size=12, unique=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slack_hours", "long_tiles"),
    [(1, 1_024), (24, 1_024), (1, 180)],
    ids=["in one value", "older ones apart", "the newest few of a long window"],
)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(writes, st.randoms(use_true_random=False))
def test_any_order_any_repeats_and_any_batches_leave_the_same_bytes(
    client: Client, view: Any, slack_hours: int, long_tiles: int, writes: list[tuple[int, int]], random: random.Random
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference.online.writer, "_LONG_TILES", long_tiles)
        patch.setattr(inference.online.writer, "_FEW_TILES", 20)
        _leave_the_same_bytes(client, view, slack_hours, long_tiles, writes, random)


def _leave_the_same_bytes(
    client: Client, view: Any, slack_hours: int, long_tiles: int, writes: list[tuple[int, int]], random: random.Random
) -> None:
    versions = [(number * slack_hours, revision, 10 * number * slack_hours + revision) for number, revision in writes]
    writer = TileWriter(view, RedisStore(client), slack_ms=slack_hours * HOUR_MS)
    results, made = [], dict(zip(versions, revised(view, versions), strict=True))
    for _ in range(3):
        client.flushall()
        tables = [made[version] for version in versions + random.choices(versions, k=3)]
        random.shuffle(tables)
        while tables:
            size = random.randint(1, 4)
            writer.write(pa.concat_tables(tables[:size]))
            tables = tables[size:]
        results.append(stored(client, view))
    assert results[0] == results[1] == results[2]
    kept, kept_from = unpacked(client, view)
    newest: dict[int, int] = {}
    for number, revision, _ in versions:
        newest[number] = max(newest.get(number, -1), revision)
    together_ms, step_ms = cold_split(view, slack_hours * HOUR_MS)
    assert (step_ms > 0) == (slack_hours > 1 or long_tiles == 180)
    end = (max(newest) + 1) * TILE_MS
    recent = (end - together_ms) // step_ms * step_ms if step_ms else NOTHING_DROPPED
    cutoff = (recent + together_ms if step_ms else end) - writer.retention_ms
    assert kept == [(n * TILE_MS, 10 * n + newest[n]) for n in sorted(newest) if n * TILE_MS >= cutoff]
    assert kept_from == max([(n + 1) * TILE_MS for n in newest if n * TILE_MS < cutoff], default=NOTHING_DROPPED)
    newest_value = TileCodec(view=view).unpack([packed_of(results[0][tiles_fields(view)[0]])]).tiles
    assert newest_value.start_ms.tolist() == [start for start, _ in kept if start >= recent]


def test_a_map_is_the_same_bytes_in_whatever_order_its_entries_came(client: Client) -> None:
    (row,) = build_tiles(WORDS, [event(0, i=1, word=word) for word in ("b", "a", "é", "a")])
    assert row["tally_word"] == "2 a,1 b,1 é"
    rows = [{**row, "revision": 0, "tally_word": text} for text in ("2 a,1 b,1 é", "1 é,2 a,1 b")]
    found = []
    for written in rows:
        client.flushall()
        TileWriter(WORDS, RedisStore(client)).write(rows_table(WORDS, [written]))
        found.append(stored(client, WORDS))
    assert found[0] == found[1]


def test_of_one_revision_the_copy_that_came_last_stays(client: Client) -> None:
    writer = TileWriter(BY_KEY, RedisStore(client))
    first, second = revised(BY_KEY, [(0, 0, 1), (0, 0, 2)])
    writer.write(first)
    writer.write(second)
    assert unpacked(client)[0] == [(0, 2)]
    writer.write(pa.concat_tables([second, first]))
    assert unpacked(client)[0] == [(0, 1)]


def test_tiles_of_other_views_and_keys_share_a_hash_without_harm(client: Client) -> None:
    events = [event(0, i=1), {**event(0, i=2), "key": "b"}]
    for view in VIEWS:
        TileWriter(view, RedisStore(client)).write(tiles_of(view, events))
    for view in VIEWS:
        assert unpacked(client, view, "a")[0] == [(0, 1)]
        assert unpacked(client, view, "b")[0] == [(0, 2)]
    assert stored(client, BY_KEY) == stored(client, WORDS)
    assert stored(client, BY_KEY) != stored(client, BY_ZONE)


def test_a_server_that_forgot_the_scripts_gets_them_again(client: Client) -> None:
    writer = TileWriter(BY_KEY, RedisStore(client))
    for number in range(3):
        writer.write(tiles_of(BY_KEY, [event(number * TILE_MS, i=number)]))
        client.script_flush()
    assert [start for start, _ in unpacked(client)[0]] == [0, TILE_MS, 2 * TILE_MS]


def test_a_changed_definition_drops_the_old_tiles_and_says_so(client: Client) -> None:
    TileWriter(BY_KEY, RedisStore(client)).write(tiles_of(BY_KEY, [event(k * TILE_MS, i=k) for k in range(5)]))
    changed = replace(BY_KEY, where=BY_KEY.partials[1].where)
    TileWriter(changed, RedisStore(client)).write(tiles_of(changed, [event(3 * TILE_MS, i=30)]))
    assert unpacked(client, changed) == ([(3 * TILE_MS, 30)], 5 * TILE_MS)
    assert unpacked(client, BY_KEY) == ([], 5 * TILE_MS)


def write_each(writer: TileWriter, numbers: range, *, revision: int = 0) -> None:
    """Write tiles one by one; each has its number and the revision as its sum."""
    for number in numbers:
        writer.write(tiles_of(BY_KEY, [event(number * TILE_MS, i=number + revision)], revision=revision))


def test_a_changed_definition_drops_the_older_tiles_too(client: Client) -> None:
    writer = TileWriter(BY_KEY, RedisStore(client))
    write_each(writer, range(0, 1_200, 60))
    assert stored(client)[cold_fields(BY_KEY)[0]]
    changed = replace(BY_KEY, where=BY_KEY.partials[1].where)
    TileWriter(changed, RedisStore(client)).write(tiles_of(changed, [event(1_200 * TILE_MS, i=30)]))
    assert unpacked(client, changed) == ([(1_200 * TILE_MS, 30)], 1_141 * TILE_MS)
    write_each(writer, range(1_201, 1_202))  # back again: what was between is not there
    assert unpacked(client) == ([(1_201 * TILE_MS, 1_201)], 1_201 * TILE_MS)


def test_tiles_that_another_slack_dropped_are_not_said_to_be_there(client: Client) -> None:
    long, short = TileWriter(BY_KEY, RedisStore(client)), TileWriter(BY_KEY, RedisStore(client), slack_ms=0)
    write_each(long, range(0, 900, 60))
    assert unpacked(client) == ([(n * TILE_MS, n) for n in range(0, 900, 60)], NOTHING_DROPPED)
    write_each(short, range(900, 1_080, 60))
    assert unpacked(client) == ([(n * TILE_MS, n) for n in range(900, 1_080, 60)], 841 * TILE_MS)
    write_each(long, range(1_080, 1_800, 60))
    assert unpacked(client) == ([(n * TILE_MS, n) for n in range(900, 1_800, 60)], 841 * TILE_MS)


def test_a_longer_window_finds_tiles_where_they_are(client: Client) -> None:
    write_each(TileWriter(BY_KEY, RedisStore(client)), range(0, 1_200, 60))
    longer = replace(BY_KEY, features=tuple(replace(feature, window=Sliding(size_ms=300 * TILE_MS)) for feature in BY_KEY.features))
    assert TileCodec(view=longer).layout == TileCodec(view=BY_KEY).layout
    write_each(TileWriter(longer, RedisStore(client)), range(420, 1_200, 60), revision=1)  # corrections, of older ones too
    assert unpacked(client, longer) == ([(n * TILE_MS, n + (n >= 420)) for n in range(0, 1_200, 60)], NOTHING_DROPPED)


def test_a_time_to_live_forgets_whole_entities(client: Client) -> None:
    TileWriter(BY_KEY, RedisStore(client), ttl_ms=60_000).write(tiles_of(BY_KEY, [event(0)]))
    raw: Any = client
    (key,) = [name for name in raw.keys("*") if b"key" in name and b"pending" not in name]
    assert 0 < raw.pttl(key) <= 60_000


def test_a_misaligned_tile_is_refused(client: Client) -> None:
    table = tiles_of(BY_KEY, [event(0)])
    moved = table.set_column(table.schema.get_field_index("tile_start"), "tile_start", pa.array([1], pa.timestamp("ms", "UTC")))
    with pytest.raises(DataError, match="tile_start 1 ms is not a multiple of the tile, 60000 ms"):
        TileWriter(BY_KEY, RedisStore(client)).write(moved)


def test_an_unreachable_server_is_one_clear_line(nobody: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        TileWriter(BY_KEY, connect(nobody)).write(tiles_of(BY_KEY, [event(0)]))
    message = str(refusal.value)
    assert message.startswith(f"redis {nobody}: does not serve: ")
    assert "tidemark up" in message
    assert "\n" not in message


def test_a_refusing_server_is_one_clear_line_and_nothing_is_accounted_for(client: Client) -> None:
    writer = TileWriter(BY_KEY, RedisStore(client))
    client.set(EntityKeys(BY_KEY.keys, "tidemark").of(["a"]), "not a hash")
    writer.close(TILE_MS, 1)
    with pytest.raises(ServiceError, match="WRONGTYPE"):
        writer.write(tiles_of(BY_KEY, [event(0)]))
    assert writer.frontier() is None


WRITER = """
import random, sys
from inference.online.connection import connect
from inference.online.writer import TileWriter
from tests.inference.example import BY_KEY, one_tile_of_each
seed = int(sys.argv[2])
numbers = list(range(seed, 300, 2))
random.Random(seed).shuffle(numbers)
writer = TileWriter(BY_KEY, connect(sys.argv[1]))
for first in range(0, len(numbers), 5):
    writer.write(one_tile_of_each(BY_KEY, numbers[first : first + 5]))
"""


@pytest.mark.slow
def test_two_processes_that_write_the_same_keys_lose_nothing(client: Client, valkey: str) -> None:
    root = Path(__file__).parents[3]
    racers = [subprocess.Popen([sys.executable, "-c", WRITER, valkey, str(seed)], cwd=root) for seed in (0, 1)]
    assert [racer.wait(timeout=PATIENCE_S) for racer in racers] == [0, 0]
    for key in range(20):
        assert unpacked(client, BY_KEY, f"k{key}")[0] == [(n * TILE_MS, n) for n in range(300)]
