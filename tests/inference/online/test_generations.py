"""Generations of the store: a reader never mixes two, only the right keys are removed, and a comparison finds every difference."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from features.plan import ViewPlan
from features.window import Sliding
from inference.online.active_generation import RECORD_NAME, ActiveGeneration, project_of, read_active, serve
from inference.online.generation_diff import Comparison, Generations, last
from inference.online.reader import OnlineReader
from inference.online.redis import generation_keys
from inference.online.redis.connection import Client, connect, hmget_many
from inference.online.redis.layout import cold_fields, split_key
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from schemas.errors import DataError
from tests.features.kernel.example import DELAY_MS, TILE_MS
from tests.features.kernel.test_kernel_is_the_oracle import event
from tests.inference.example import BY_KEY, SERVICE, VIEWS, WORDS, requests_of, rows_table, tiles_of
from tests.waiting import PATIENCE_S

ONE, TWO = project_of(1), project_of(2)
SLACK_MS = 10**9


def fill(client: Client, project: str, *, events: list[dict[str, Any]], closed: int = 3, views: tuple[ViewPlan, ...] = VIEWS) -> None:
    """Tiles of the events, and everything closed up to a number of tiles."""
    write(client, project, [(view, tiles_of(view, events)) for view in views], closed=closed)


def write(client: Client, project: str, tiles: Sequence[tuple[ViewPlan, pa.Table]], *, closed: int = 3) -> None:
    for view, rows in tiles:
        writer = TileWriter(view, RedisStore(client), project=project, slack_ms=SLACK_MS)
        writer.write(rows)
        for number in range(1, closed + 1):
            writer.close(number * TILE_MS, 0)


def of_all(number: int) -> list[dict[str, Any]]:
    return [{**event(0, i=number, x=float(number)), "key": f"k{entity}"} for entity in range(20)]


def compare(client: Client, only: set[bytes] | None = None) -> Comparison:
    return last(Generations(store=RedisStore(client), views=VIEWS, first=ONE, second=TWO, slack_ms=SLACK_MS).compare(only))


def test_the_record_with_the_higher_number_is_in_force(client: Client) -> None:
    assert read_active(RedisStore(client)) == ActiveGeneration() == ActiveGeneration(number=0, generation=1)
    first = ActiveGeneration().next(2)
    assert serve(RedisStore(client), first)
    assert read_active(RedisStore(client)) == first
    assert not serve(RedisStore(client), ActiveGeneration(number=1, generation=7))
    assert not serve(RedisStore(client), ActiveGeneration())
    assert read_active(RedisStore(client)) == first
    assert serve(RedisStore(client), first.next(1))
    assert read_active(RedisStore(client)) == ActiveGeneration(number=2, generation=1)
    client.hset(RECORD_NAME, "record", "{")
    with pytest.raises(DataError, match=r"^online store: tidemark:serving is damaged: "):
        read_active(RedisStore(client))


def test_a_generation_is_a_feast_project() -> None:
    assert [project_of(number) for number in (1, 2, 10)] == ["tidemark", "tidemark_g2", "tidemark_g10"]


@pytest.mark.slow
def test_a_batch_is_of_one_generation_while_they_are_switched_and_removed(client: Client, valkey: str) -> None:
    """Generation 1 says one, 2 says two; each is removed as soon as the other is served, and filled again once a batch of the other was read."""
    fill(client, ONE, events=of_all(1))
    reader, seen = OnlineReader(SERVICE, RedisStore(connect(valkey))), queue.SimpleQueue[int | None]()
    requests = requests_of([(f"k{entity}", 2 * TILE_MS + DELAY_MS) for entity in range(20)])
    tiles = {number: [(view, tiles_of(view, of_all(number))) for view in VIEWS] for number in (1, 2)}

    def switch() -> ActiveGeneration:
        mine, record = connect(valkey), ActiveGeneration()
        for _ in range(8):
            other = 3 - record.generation
            write(mine, project_of(other), tiles[other])
            before, record = record, record.next(other)
            assert serve(RedisStore(mine), record)
            generation_keys.remove(mine, before.project)
            while (generation := seen.get(timeout=PATIENCE_S)) != other:
                assert generation is not None, "the reader has failed"
        return record

    with ThreadPoolExecutor(1) as beside:
        switching = beside.submit(switch)
        try:
            while not switching.done():  # at least once after each switch, and as often as it goes while the next is prepared and made
                served_now = reader.read(requests).table
                sums = served_now.column("by_key_sum_i_3h").to_pylist()
                assert set(sums) in ({1}, {2}), sums
                assert not any(served_now.column("stale").to_pylist())
                seen.put(sums[0])
        finally:
            seen.put(None)
    assert switching.result() == ActiveGeneration(number=8, generation=1)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_switch_in_the_middle_of_a_batch_lets_all_of_it_be_read_anew(client: Client, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """A pipeline is not atomic: here the other generation is served, and this one removed, between its commands."""
    fill(client, ONE, events=of_all(1))
    fill(client, TWO, events=of_all(2))
    asked = 0

    def one_by_one(own: Client, groups: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> list[list[list[bytes | None]]]:
        nonlocal asked
        replies = []
        for group in groups:
            replies += hmget_many(own, [group])
            asked += 1
            if asked == after:
                assert serve(RedisStore(own), ActiveGeneration().next(2))
                generation_keys.remove(own, ONE)
        return replies

    monkeypatch.setattr("inference.online.redis.tile_reads.hmget_many", one_by_one)
    table = (
        OnlineReader(SERVICE, RedisStore(client)).read(requests_of([(f"k{entity}", 2 * TILE_MS + DELAY_MS) for entity in range(20)])).table
    )
    for name in ("by_key_sum_i_3h", "by_zone_sum_i_3h", "words_sum_i_3h"):
        assert set(table.column(name).to_pylist()) == {2}, name
    assert not any(table.column("stale").to_pylist())


def test_a_reader_of_a_named_project_does_not_follow(client: Client) -> None:
    fill(client, ONE, events=of_all(1))
    fill(client, TWO, events=of_all(2))
    requests = requests_of([("k0", 2 * TILE_MS + DELAY_MS)])
    bound, following = OnlineReader(SERVICE, RedisStore(client), project=ONE), OnlineReader(SERVICE, RedisStore(client))
    assert serve(RedisStore(client), ActiveGeneration().next(2))
    assert [reader.read(requests).table["by_key_sum_i_3h"][0].as_py() for reader in (bound, following)] == [1, 2]


def test_only_the_keys_of_one_generation_are_removed(client: Client) -> None:
    fill(client, ONE, events=of_all(1))
    alone = set(client.keys("*"))  # type: ignore[arg-type]
    for other in (TWO, project_of(12), "my_tidemark"):
        fill(client, other, events=of_all(2))
    client.set("a tidemark", "not ours")
    client.set(b"\2\0\0\0 tidemark", "not ours either")
    before = set(client.keys("*"))  # type: ignore[arg-type]
    told: list[int] = []
    assert generation_keys.remove(client, ONE, removed=told.append) == sum(told) == len(alone)
    assert set(client.keys("*")) == before - alone  # type: ignore[arg-type]
    assert generation_keys.remove(client, ONE) == 0


def test_equal_generations_are_equal_tile_by_tile(client: Client) -> None:
    events = [event(t * TILE_MS // 2, i=t, x=0.1 * t, word=f"w{t}") for t in range(4)] + of_all(3)
    fill(client, ONE, events=events)
    fill(client, TWO, events=events)
    found = compare(client)
    assert found.equal
    assert found.tiles == {view.name: 22 for view in VIEWS}
    assert (found.newer, found.differing) == (0, set())


def test_what_only_one_of_them_can_have_yet_is_not_compared(client: Client) -> None:
    fill(client, ONE, events=of_all(1), closed=2)
    fill(client, TWO, events=of_all(1), closed=3)
    ahead = [event(2 * TILE_MS, i=5)]
    for project in (ONE, TWO):
        fill(client, project, events=ahead if project == TWO else [], closed=0, views=(BY_KEY,))
    found = compare(client)
    assert found.equal
    assert found.newer == 1
    RedisStore(client).frontiers(project=ONE).closed(BY_KEY.name, [(3 * TILE_MS, 0)])
    assert [(each.what, each.entity, each.start_ms) for each in compare(client).examples] == [("extra", "a", 2 * TILE_MS)]


def test_every_kind_of_difference_is_found(client: Client) -> None:
    for project in (ONE, TWO):
        fill(client, project, events=of_all(1))
    extra, missing = event(0, i=1), event(TILE_MS, i=1)
    fill(client, TWO, events=[extra], views=(BY_KEY,))
    fill(client, ONE, events=[missing | {"key": "k3"}], views=(WORDS,))
    (row,) = tiles_of(BY_KEY, [event(0, i=7, x=1.0) | {"key": "k9"}]).to_pylist()
    TileWriter(BY_KEY, RedisStore(client), project=TWO, slack_ms=SLACK_MS).write(rows_table(BY_KEY, [row]))
    found = compare(client)
    assert not found.equal
    assert found.differences == {BY_KEY.name: 2, WORDS.name: 1}
    seen = {(each.view, each.entity, each.what) for each in found.examples}
    assert seen == {(BY_KEY.name, "a", "extra"), (BY_KEY.name, "k9", "different"), (WORDS.name, "k3", "missing")}
    different = next(each for each in found.examples if each.what == "different")
    assert different.columns["sum_i"] == (1, 7)
    assert len(found.differing) == 3
    fill(client, ONE, events=[extra], views=(BY_KEY,))
    assert compare(client, found.differing).differences == {BY_KEY.name: 1, WORDS.name: 1}


def test_older_tiles_are_compared_too(client: Client) -> None:
    for project, older in ((ONE, 1), (TWO, 2)):
        writer = TileWriter(BY_KEY, RedisStore(client), project=project, slack_ms=SLACK_MS)
        writer.write(tiles_of(BY_KEY, [event(0, i=older), event(3_000 * TILE_MS, i=1)]))
        writer.close(3_001 * TILE_MS, 0)
    found = last(Generations(store=RedisStore(client), views=(BY_KEY,), first=ONE, second=TWO, slack_ms=SLACK_MS).compare())
    assert [(each.what, each.start_ms) for each in found.examples] == [("different", 0)]
    assert found.tiles == {BY_KEY.name: 1}


def test_an_entity_that_may_have_left_the_store_after_a_silence_is_no_difference(client: Client) -> None:
    fill(client, ONE, events=of_all(1))
    fill(client, TWO, events=[*of_all(1), event(0, i=1)])
    both = Generations(store=RedisStore(client), views=VIEWS, first=ONE, second=TWO, slack_ms=SLACK_MS, leaves=True)
    found = last(both.compare())
    assert (found.equal, found.returned) == (True, 2)  # in a key of its own for each entity that views share
    assert not last(replace(both, leaves=False).compare()).equal


def test_sums_may_differ_by_the_order_of_their_summation_and_revisions_do_not_count(client: Client) -> None:
    (row,) = tiles_of(BY_KEY, [event(0, i=1, x=0.3)]).to_pylist()
    for project, last_bit in ((ONE, 0.3), (TWO, 0.1 + 0.2)):
        columns = {name: last_bit if value == 0.3 and name.startswith("sum") else value for name, value in row.items()}
        writer = TileWriter(BY_KEY, RedisStore(client), project=project, slack_ms=SLACK_MS)
        writer.write(rows_table(BY_KEY, [columns | {"revision": 0 if project == ONE else -1}]))
        writer.close(TILE_MS, 0)
    found = compare(client)
    assert (found.equal, found.tiles[BY_KEY.name]) == (True, 1)


def test_a_generation_that_claims_to_reach_further_back_is_found(client: Client) -> None:
    """The first has dropped a tile; the second never saw it, and would call a read of its time exact."""
    view = BY_KEY
    for project, seen in ((ONE, [0, 500]), (TWO, [500])):
        writer = TileWriter(view, RedisStore(client), project=project, slack_ms=0)
        for number in seen:
            writer.write(tiles_of(view, [event(number * TILE_MS, i=1)]))
        writer.close(501 * TILE_MS, 0)
    found = last(Generations(store=RedisStore(client), views=VIEWS, first=ONE, second=TWO, slack_ms=0).compare())
    assert [(each.what, each.start_ms) for each in found.examples] == [("reach", None)]


@pytest.mark.slow
def test_a_generation_that_reaches_further_back_is_no_difference_where_it_has_what_the_other_dropped(client: Client) -> None:
    """A window became longer: the second was filled anew, and keeps more."""
    longer = replace(BY_KEY, features=tuple(replace(each, window=Sliding(size_ms=500 * TILE_MS)) for each in BY_KEY.features))
    for view, project in ((BY_KEY, ONE), (longer, TWO)):
        writer = TileWriter(view, RedisStore(client), project=project, slack_ms=0)
        for number in range(300):
            writer.write(tiles_of(view, [event(number * TILE_MS, i=1)]))
        writer.close(300 * TILE_MS, 0)
    both = Generations(store=RedisStore(client), views=(longer,), first=ONE, second=TWO, slack_ms=0)
    found = last(both.compare())
    assert (found.equal, found.differences) == (True, {})
    assert found.tiles[BY_KEY.name] + found.newer == 300
    assert not last(replace(both, whole=False).compare()).equal
    back = last(replace(both, first=TWO, second=ONE).compare())
    assert {each.what for each in back.examples} == {"missing"}


def test_a_generation_of_another_definition_is_found(client: Client) -> None:
    changed = replace(BY_KEY, where=BY_KEY.partials[1].where)
    for view, project in ((BY_KEY, ONE), (changed, TWO)):
        fill(client, project, events=of_all(1), views=(view,))
    found = compare(client)
    assert {(each.what, each.start_ms) for each in found.examples} == {("layout", None)}
    assert found.differences == {BY_KEY.name: 20}


def test_a_view_leaves_nothing_behind_and_takes_nothing_else(client: Client) -> None:
    for project in (ONE, TWO):
        fill(client, project, events=of_all(1), views=(BY_KEY,))
    before = {key: client.hgetall(key) for key in client.keys("*") if split_key(key)}  # type: ignore[union-attr]
    later = [{**each, "t": 3_000 * TILE_MS} for each in of_all(2)]
    for project in (ONE, TWO):
        fill(client, project, events=[*of_all(2), *later], views=(WORDS,))
    raw: Any = client
    assert sum(raw.hexists(key, cold_fields(WORDS)[0]) for key in raw.keys("*") if split_key(key)) == 40
    assert generation_keys.remove_view(client, ONE, WORDS.name) == 21  # 20 entities and the frontier
    assert generation_keys.remove_view(client, TWO, WORDS.name) == 21
    assert {key: client.hgetall(key) for key in client.keys("*") if split_key(key)} == before  # type: ignore[union-attr]
    assert not client.keys(f"tidemark:*:{{{WORDS.name}}}:*")
    assert generation_keys.remove_view(client, ONE, WORDS.name) == 0
