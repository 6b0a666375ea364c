"""A store that has lost data is not the store that it was: whatever it has lost, and whenever, nothing that it says is exact differs from the oracle."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from inference.online.frontier import NEVER_MS, Lost
from inference.online.losses import refuse_losses
from inference.online.marks import Began
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client, hmget_many
from inference.online.redis.layout import EntityKeys
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from schemas.errors import SettingError
from tests.features.kernel.example import DELAY_MS, TILE_MS
from tests.inference.example import SERVICE, requests_of
from tests.inference.online.ever import ONLY
from tests.inference.river import TILES, USER, USERS, Log, Served, Server, Worker, turn_to
from tests.shop import MINUTE, NOON

MINUTES = 30

Strike = Callable[[], None]


class Run:
    """A stream that two workers write, in turns that a seed decides; before its step `earlier` the store is remembered, at `cut` it is struck."""

    def __init__(self, client: Client, seed: int, *, forgets: bool = False) -> None:
        self.random = Random(seed)
        self.log = Log()
        self.client = client
        self.began: list[Began] = []
        self.workers = [Worker(self.log, client, partition, self.began.append, forgets=forgets) for partition in (0, 1)]
        self.served = Served(client, MINUTES)
        self.then: dict[tuple[str, int], tuple[int, float]] = {}

    def step(self) -> bool:
        """One batch of one worker, and often a read; False when all is published and written."""
        while self.log.minute < MINUTES and (all(worker.done for worker in self.workers) or self.random.random() < 0.4):
            self.log.publish(self.random)
        left = [worker for worker in self.workers if not worker.done]
        if not left:
            return False
        # The second is silent for long stretches: what it has written is then looked after by the first alone.
        chosen = left[0] if len(left) == 1 or self.random.random() < 0.7 else left[1]
        self.served.written(chosen.step(self.random))
        if self.random.random() < 0.5:
            self.served.exact()
        return True

    def until(self, step: int) -> None:
        for _ in range(step):
            self.step()

    def as_it_was_then(self) -> None:
        """Until the next record is written nobody knows that the store went back: what it says is right as of when it was copied."""
        now, self.served.tiles = self.served.tiles, self.then
        self.served.exact()
        self.served.tiles = now

    def end(self) -> set[tuple[str, int]]:
        while self.step():
            pass
        return self.served.exact()

    def rebuilt(self) -> set[tuple[str, int]]:
        """What another generation serves, filled from the beginning of the topics."""
        began: list[Began] = []
        workers = [Worker(self.log, self.client, partition, began.append, project="tidemark_g2") for partition in (0, 1)]
        while not all(worker.done for worker in workers):
            for worker in workers:
                worker.step(self.random, most=50)
        assert [each.lost for each in began] == [""]
        again = Served(self.client, MINUTES, project="tidemark_g2")
        again.tiles = self.served.tiles
        return again.exact()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "one")
    yield running
    running.kill()


ALL = {(user, NOON + minute * MINUTE) for user in USERS for minute in range(MINUTES + 1)}


def test_a_store_that_lost_nothing_is_complete_since_the_beginning(client: Client) -> None:
    run = Run(client, 1)
    assert run.end() == ALL
    assert [each.lost for each in run.began] == [""]
    assert RedisStore(client).frontiers().known([USER.name])[USER.name].since_ms is None


def after_the_loss(run: Run, exact: set[tuple[str, int]]) -> None:
    """What is said when all has been written after a loss."""
    assert run.began[-1].lost
    since = RedisStore(run.client).frontiers().known([USER.name])[USER.name].since_ms
    assert since is not None
    if since != NEVER_MS:
        assert exact == {(user, boundary) for user, boundary in ALL if boundary - USER.longest_window_ms >= since}
    assert run.rebuilt() == ALL


@pytest.mark.parametrize("cut", range(1, 20, 4))
def test_emptied_between_two_batches(client: Client, cut: int) -> None:
    run = Run(client, cut)
    run.until(cut)
    client.flushall()
    exact = run.end()
    after_the_loss(run, exact)
    assert exact


def emptied(client: Client) -> None:
    client.flushall()


@pytest.mark.parametrize("cut", range(2, 22, 4))
def test_emptied_between_the_writing_of_tiles_and_their_account(client: Client, cut: int) -> None:
    run = Run(client, cut)
    run.until(cut)
    for worker in run.workers:
        worker.writer.between = lambda: emptied(client)
    after_the_loss(run, run.end())


def test_emptied_while_a_reader_has_the_frontier_and_not_yet_the_tiles(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(client, 6)
    assert run.end() == ALL

    def torn(given: Client, groups: Any) -> Any:
        begin = hmget_many(given, groups[:1])
        given.flushall()
        return begin + hmget_many(given, groups[1:])

    monkeypatch.setattr("inference.online.redis.tile_reads.hmget_many", torn)
    assert run.served.exact() == set()


def copied(server: Server, run: Run, cut: int, earlier: int) -> Strike:
    """A copy of some time ago takes the place of what is there."""
    run.until(earlier)
    run.then = dict(run.served.tiles)
    server.client.save()
    copy = (server.folder / "dump.rdb").read_bytes()
    run.until(cut - earlier)

    def strike() -> None:
        server.kill()
        (server.folder / "dump.rdb").write_bytes(copy)
        server.start()

    return strike


def restarted_empty(server: Server, run: Run, cut: int, earlier: int) -> Strike:
    """An empty folder after a restart."""
    run.until(cut)

    def strike() -> None:
        server.kill()
        shutil.rmtree(server.folder)
        server.start()

    return strike


def promoted(server: Server, run: Run, cut: int, earlier: int) -> Strike:
    """A replica that was behind takes over."""
    replica = Server(server.folder.with_name("replica"), "--replicaof", "127.0.0.1", str(server.port))
    run.until(earlier)
    run.then = dict(run.served.tiles)
    assert server.client.wait(1, 10_000) == 1
    replica.client.replicaof("NO", "ONE")
    run.until(cut - earlier)

    def strike() -> None:
        server.kill()
        server.process, server.port = replica.process, replica.port  # the fixture ends it
        turn_to(run.client, replica.port)

    return strike


def elsewhere(server: Server, run: Run, cut: int, earlier: int) -> Strike:
    """Another URL, where nothing is."""
    run.until(cut)

    def strike() -> None:
        other = Server(server.folder.with_name("other"))
        server.kill()
        server.process, server.port = other.process, other.port
        turn_to(run.client, other.port)
        places = [worker.at for worker in run.workers]
        run.workers = [Worker(run.log, run.client, partition, run.began.append) for partition in (0, 1)]
        for worker, at in zip(run.workers, places, strict=True):
            worker.at = dict(at)

    return strike


KINDS = [copied, restarted_empty, promoted, elsewhere]


@pytest.mark.slow
@pytest.mark.parametrize("within", [False, True], ids=["between-batches", "within-a-batch"])
@pytest.mark.parametrize(("cut", "earlier"), [(8, 2), (21, 20)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_store_goes_back(server: Server, kind: Callable[[Server, Run, int, int], Strike], cut: int, earlier: int, within: bool) -> None:
    run = Run(server.client, 100 * cut + earlier)
    strike = kind(server, run, cut, earlier)
    if within:
        run.workers[0].writer.between = strike
    else:
        strike()
        run.as_it_was_then()
    exact = run.end()
    if len(run.began) > 1:
        after_the_loss(run, exact)
    else:
        assert run.rebuilt() == ALL


def test_a_restart_that_keeps_all_is_no_loss(server: Server) -> None:
    run = Run(server.client, 5)
    run.until(12)
    server.client.save()
    server.kill()
    server.start()
    assert run.end() == ALL
    assert len(run.began) == 1


def test_what_is_read_again_after_a_failure_of_the_job_is_no_loss(client: Client) -> None:
    run = Run(client, 7)
    run.until(8)
    places = [dict(worker.at) for worker in run.workers]
    run.until(6)
    run.workers = [Worker(run.log, client, partition, run.began.append) for partition in (0, 1)]
    for worker, at in zip(run.workers, places, strict=True):
        worker.at = at
    assert run.end() == ALL
    assert len(run.began) == 1


def test_offsets_that_hold_no_record_are_no_loss(client: Client) -> None:
    """As markers of transactions leave them: the next record comes with a later offset."""
    run = Run(client, 9)
    run.until(8)
    for records in run.log.records.values():
        records += [None] * 3
    assert run.end() == ALL
    assert len(run.began) == 1


def test_a_server_that_is_another_is_stale_until_partitions_that_are_silent_are_known_to_lack_nothing(server: Server) -> None:
    run = Run(server.client, 4)
    run.until(16)
    while run.log.minute < 22:
        run.log.publish(run.random)
    run.served.written(run.workers[1].step(run.random, most=1, least=1))
    server.client.save()
    server.kill()
    server.start()
    run.served.written(run.workers[0].step(run.random, most=1, least=1))
    assert RedisStore(run.client).frontiers().state().suspects == 1  # the second has records to come, or has lost them
    assert run.served.exact() == set()
    assert run.end() == ALL
    assert RedisStore(run.client).frontiers().state().suspects == 0
    assert len(run.began) == 1


def test_topics_that_no_longer_keep_their_first_tiles_are_complete_since_the_first_that_is_whole(client: Client) -> None:
    run = Run(client, 3)
    for _ in range(6):
        run.log.publish(run.random)
    run.log.begins = {place: len(records) for place, records in run.log.records.items()}
    run.workers = [Worker(run.log, client, partition, run.began.append) for partition in (0, 1)]
    exact = run.end()
    assert [each.lost for each in run.began] == ["the topics no longer keep the first tiles of user_clicks"]
    assert RedisStore(client).frontiers().known([USER.name])[USER.name].since_ms == NOON + 6 * MINUTE
    assert exact == {(user, boundary) for user, boundary in ALL if boundary >= NOON + 6 * MINUTE + USER.longest_window_ms}


def test_records_that_retention_deleted_before_they_were_written_are_a_loss(client: Client) -> None:
    """Of a job that was away for too long: Kafka holds nothing of them any more."""
    run = Run(client, 3)
    run.until(8)
    for _ in range(6):
        run.log.publish(run.random)
    run.log.begins = {place: len(records) for place, records in run.log.records.items()}
    for worker in run.workers:
        worker.at = {place: run.log.begins[place] for place in worker.places}
    exact = run.end()
    assert re.fullmatch(r"it has topic \S+, partition \d up to offset \d+ only, and the job goes on at \d+", run.began[-1].lost)
    since = RedisStore(client).frontiers().known([USER.name])[USER.name].since_ms
    assert since is not None
    assert NOON < since < NOON + MINUTES * MINUTE
    assert exact == {(user, boundary) for user, boundary in ALL if boundary >= since + USER.longest_window_ms}


def test_a_tile_of_which_retention_has_left_only_a_part_is_given_up_when_one_an_hour_later_is_whole(client: Client) -> None:
    run = Run(client, 3)
    for _ in range(100):
        run.log.publish(run.random)
    run.log.begins = {(TILES, 0): 5, (TILES, 1): 2}
    workers = [Worker(run.log, client, partition, run.began.append) for partition in (0, 1)]
    for worker in workers:
        worker.step(run.random, most=0)
    while not all(worker.done for worker in workers):
        for worker in workers:
            worker.step(run.random, most=20)
    found = RedisStore(client).frontiers().known([USER.name])[USER.name]
    assert found.frontier_ms == NOON + 100 * MINUTE
    assert found.since_ms is not None
    assert NOON < found.since_ms < NOON + 30 * MINUTE


def test_an_evicted_key_is_a_loss(server: Server) -> None:
    """Of tiles alone: what the store says of itself is all there."""
    run = Run(server.client, 11)
    run.until(14)
    client: Any = server.client
    key = EntityKeys(USER.keys, "tidemark").of([next(iter(USERS))])
    assert client.pexpire(key, 10**9)
    client.config_set("maxmemory-policy", "volatile-ttl")
    client.config_set("maxmemory", "1")
    with pytest.raises(Exception, match=r"maxmemory"):
        client.set("other", "x")  # which makes the server look for room
    client.config_set("maxmemory", "0")
    assert not client.exists(key)
    exact = run.end()
    assert run.began[-1].lost == f"the server has evicted {client.info('stats')['evicted_keys']} keys"
    after_the_loss(run, exact)


def test_of_all_time_nothing_is_exact_once_something_is_lost(client: Client) -> None:
    writer, frontiers = TileWriter(ONLY, RedisStore(client)), RedisStore(client).frontiers()
    service = replace(SERVICE, name="ever", views=(ONLY,))

    def stale(boundary: int) -> bool:
        writer.close(boundary, 0)
        (said,) = OnlineReader(service, RedisStore(client)).read(requests_of([("a", boundary + DELAY_MS)])).table["stale"].to_pylist()
        return bool(said)

    assert not stale(0)
    frontiers.begin(frontiers.open(), "anew", {}, {ONLY.name: Lost(span_ms=0, lost=True)})
    assert stale(TILE_MS)
    assert frontiers.known([ONLY.name])[ONLY.name].since_ms == TILE_MS  # of a closing that does not say how large its tile was
    assert stale(9 * TILE_MS)
    frontiers.complete([ONLY.name])
    assert not stale(10 * TILE_MS)


def test_where_a_server_may_evict_keys_one_that_is_not_there_is_stale_and_so_is_one_that_came_anew(client: Client) -> None:
    run = Run(client, 13, forgets=True)
    run.until(12)
    keys: Any = [EntityKeys(USER.keys, "tidemark").of([user]) for user in USERS]
    client.delete(*keys)  # as the server would
    gone = NOON + run.log.minute * MINUTE
    assert run.served.exact() == set()
    exact = run.end()
    assert exact
    assert exact < {(user, boundary) for user, boundary in ALL if boundary >= gone}
    assert [each.lost for each in run.began] == [""]


def test_a_server_that_may_lose_data_is_refused(server: Server) -> None:
    client: Any = server.client
    with pytest.raises(
        SettingError, match=r'^redis: appendonly is no and save is "": a restart loses all that was written; set appendonly to yes'
    ):
        refuse_losses(RedisStore(client), [USER], loss="refuse")
    client.config_set("appendonly", "yes")
    refuse_losses(RedisStore(client), [USER], loss="refuse")
    client.config_set("maxmemory-policy", "allkeys-lru")
    refuse_losses(RedisStore(client), [USER], loss="refuse")  # it has no limit
    client.config_set("maxmemory", "100mb")
    with pytest.raises(SettingError, match=r"^redis: maxmemory-policy other than noeviction removes keys when maxmemory is reached, "):
        refuse_losses(RedisStore(client), [USER], loss="refuse")
    refuse_losses(RedisStore(client), [USER], loss="stale")
    assert RedisStore(client).evicts()
    with pytest.raises(SettingError, match=r"^TIDEMARK_ONLINE_LOSS: view 'ever_only' has Lifetime features"):
        refuse_losses(RedisStore(client), [ONLY], loss="stale")
