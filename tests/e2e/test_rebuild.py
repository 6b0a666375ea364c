"""The store is rebuilt and switched while the stream runs and requests are served: nothing is lost, nothing is mixed, and a difference stops it."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from features.catalog import load
from features.plan import FRONTIER_TOPIC, Plan, ViewPlan
from inference.online import active_generation
from inference.online.active_generation import ActiveGeneration, project_of
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client, connect
from inference.online.redis.layout import split_key
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter, tile_schema
from infra import flink
from infra.settings import Settings
from jobs.control import generations
from jobs.control.frontiers import wait_for
from tests import shop
from tests.e2e.command_line import tidemark
from tests.e2e.scoring import kill, produce
from tests.shop import MINUTE, NOON
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.e2e

USERS = ("ann", "bob", "zoe")


@dataclass(kw_only=True)
class Stream:
    """A features job in small: a tile for every user and a closing, minute by minute, on and on; some are corrected later.

    No faster than the store takes it in: two generations that both lag would never be seen to be equal.
    """

    settings: Settings
    view: ViewPlan
    tiles: dict[tuple[str, int], float] = field(default_factory=dict)  # (user, tile start) → the amount of its one click
    minutes: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    running: Future[None] | None = None

    def start(self, beside: ThreadPoolExecutor, frontier: Callable[[], int | None]) -> None:
        self.running = beside.submit(self._run, frontier)

    def _run(self, frontier: Callable[[], int | None]) -> None:
        while not self.ended.wait(0.2):
            self.step()
            eventually("the tiles are served", lambda: self.ended.is_set() or (frontier() or 0) >= self.closed_ms)

    def end(self) -> None:
        """Return when the last step has been done."""
        self.ended.set()
        if self.running is not None:
            self.running.result()

    def step(self) -> None:
        start = NOON + self.minutes * MINUTE
        for number, user in enumerate(USERS):
            self.send(user, start, self.minutes + number / 8, revision=0)
        produce(self.settings, FRONTIER_TOPIC, [shop.closing(self.view.name, start + MINUTE, len(USERS))], key=self.view.name)
        if self.minutes % 5 == 4:
            self.send("bob", start - 3 * MINUTE, -1.5, revision=self.minutes)
        self.minutes += 1

    def send(self, user: str, start: int, amount: float, *, revision: int) -> None:
        self.tiles[user, start] = amount
        body = shop.tile(
            self.view, start, user=user, revision=revision, count=1, sum_amount=amount, last_amount=amount, last_amount__at=start
        )
        produce(self.settings, self.view.tiles_topic, [body], key=user)

    @property
    def closed_ms(self) -> int:
        return NOON + self.minutes * MINUTE


@dataclass(frozen=True, kw_only=True)
class River:
    """A shop of its own in a database of its own, its stream and its materialize job running."""

    settings: Settings
    plan: Plan
    stream: Stream

    @property
    def client(self) -> Client:
        return connect(self.settings.redis_url)

    @property
    def store(self) -> RedisStore:
        return RedisStore(self.client)

    def tidemark(self, *arguments: str, code: int = 0) -> str:
        return tidemark(self.settings, *arguments, code=code)

    def running(self) -> set[str]:
        return {job.name for job in flink.Cluster(self.settings.flink_url).jobs() if job.state == "RUNNING"}

    def projects(self) -> set[str]:
        keys: Any = self.client.keys("*")
        return {found[1] for found in map(split_key, keys) if found is not None}

    def frontier(self) -> int | None:
        store = self.store
        return store.frontiers(project=active_generation.read_active(store).project).read([self.stream.view.name])[self.stream.view.name]

    def read(self, reader: OnlineReader, asked: list[tuple[str, int]]) -> list[dict[str, Any]]:
        """What each user is served as of a boundary."""
        times = [boundary_ms + self.stream.view.delay_ms for _, boundary_ms in asked]
        rest: dict[str, Any] = {"shop": 7, "shelf": "top", "price": 2.5, "colour": "red"}
        requests = {
            "request_id": pa.array([str(number) for number in range(len(asked))]),
            "event_time": pa.array(times, pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
            "user": pa.array([user for user, _ in asked]),
            **{name: pa.array([value] * len(asked)) for name, value in rest.items()},
        }
        table = reader.read(pa.table(requests)).table
        return table.select(["clicks_5m", "spent_5m", "last_amount_10m"]).to_pylist()

    def expected(self, user: str, boundary_ms: int) -> dict[str, Any]:
        window = [self.stream.tiles[user, boundary_ms - back * MINUTE] for back in (5, 4, 3, 2, 1)]
        return {"clicks_5m": 5, "spent_5m": sum(window), "last_amount_10m": window[-1]}


@pytest.fixture(scope="module")
def river(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[River]:
    definitions = tmp_path_factory.mktemp("again") / "definitions"
    shutil.copytree(shop.DEFINITIONS, definitions, ignore=shutil.ignore_patterns("__pycache__"))
    for file in definitions.glob("*.py"):
        file.write_text(re.sub(r"\b(clicks|offers|user_clicks|shelf_clicks|buy)\b", r"again_\1", file.read_text()))
    redis = settings.redis_url.rsplit("/", 1)[0] + "/6" if settings.redis_url.count("/") > 2 else f"{settings.redis_url}/6"
    own = replace(
        settings,
        definitions=definitions,
        schemas=shop.SCHEMAS,
        redis=redis,
        kafka=settings.kafka_servers,
        flink=settings.flink_url,
        checkpoint_interval_ms=1_000,
        tile_slack_ms=30 * 24 * 60 * MINUTE,  # the stream here is a thousand times as fast as time
    )
    plan = load(own.definitions, own.schemas)
    stream = Stream(settings=own, view=plan.views["again_user_clicks"])
    river = River(settings=own, plan=plan, stream=stream)
    beside = ThreadPoolExecutor(1)
    try:
        river.tidemark("submit", "materialize", "--fresh")
        for _ in range(200):
            stream.step()
        produce(own, FRONTIER_TOPIC, [shop.closing("again_shelf_clicks", NOON, 0)], key="again_shelf_clicks")
        stream.start(beside, river.frontier)
        yield river
    finally:
        stream.ended.set()
        beside.shutdown()
        cluster = flink.Cluster(own.flink_url)
        for job in cluster.jobs():
            if job.name.startswith("materialize") and job.state not in flink.ENDED:
                cluster.cancel(job.id)
        now = generations.read_active(own, river.store)
        generations.serve(own, river.store, now.next(1))  # for the tests that come after


def test_a_rebuild_beside_the_running_stream_is_proven_and_switched_to_without_a_loss(river: River) -> None:
    stream, service = river.stream, river.plan.services["again_buy"]
    wait_for(lambda: {"": river.frontier()}, NOON + 200 * MINUTE, timeout_s=PATIENCE_S)
    before = active_generation.read_active(river.store)
    ended, answers = threading.Event(), list[list[dict[str, Any]]]()
    asked = [(user, NOON + 100 * MINUTE) for user in USERS]
    expected = [river.expected(*each) for each in asked]

    def requests() -> None:
        reader = OnlineReader(service, river.store)
        while not ended.wait(0.01):
            answers.append(river.read(reader, asked))

    def answered(more: int) -> None:
        """Wait until so many more were: the last of them was asked after this call."""
        wanted = len(answers) + more
        eventually(f"{wanted} answers", lambda: len(answers) >= wanted or asking.done())

    with ThreadPoolExecutor(1) as beside, ended_with(ended):
        asking = beside.submit(requests)
        answered(2)
        said = river.tidemark("rebuild")
        assert "✓ equal" in said
        assert active_generation.read_active(river.store) == before
        assert {"materialize", "materialize-g2"} <= river.running()

        plant(river, -8.0)
        said = river.tidemark("rebuild", "--switch", code=1)
        assert "job materialize-g2 fills generation 2 already" in said
        assert "again_user_clicks of ann, tile 2013-10-01T13:40:00.000Z: sum_amount 100.0 and -8.0" in said
        assert "✗ tiles that differ: 1, of 1 entities" in said
        assert active_generation.read_active(river.store) == before
        assert river.projects() == {project_of(1), project_of(2)}

        plant(river, 100.0)
        said = river.tidemark("switch")
        assert "generation 2 is served" in said
        assert active_generation.read_active(river.store) == ActiveGeneration(number=before.number + 1, generation=2)
        assert "materialize" not in river.running()
        wait_for(lambda: {"": river.frontier()}, stream.closed_ms, timeout_s=PATIENCE_S)
        answered(2)
    asking.result()
    assert [answer for answer in answers if answer != expected] == []
    assert river.projects() == {project_of(2)}

    stream.end()
    wait_for(lambda: {"": river.frontier()}, stream.closed_ms, timeout_s=PATIENCE_S)
    reader = OnlineReader(service, river.store)
    asked = [(user, NOON + minute * MINUTE) for minute in range(5, stream.minutes - 10) for user in USERS]
    assert river.read(reader, asked) == [river.expected(*each) for each in asked]


@contextmanager
def ended_with(event: threading.Event) -> Iterator[None]:
    """Set at the end of the block, however that comes."""
    try:
        yield
    finally:
        event.set()


def plant(river: River, amount: float) -> None:
    """Another value of one tile in the new generation alone."""
    view = river.stream.view
    start = NOON + 100 * MINUTE
    row = {"user": "ann", "tile_start": start, "revision": int(1000 + amount), "count": 1}
    row |= {"sum_amount": amount, "last_amount": 100.0, "last_amount__at": start}
    TileWriter(view, river.store, project=project_of(2), slack_ms=river.settings.tile_slack_ms).write(
        pa.Table.from_pylist([row], schema=tile_schema(view))
    )


def test_a_resumed_job_goes_on_with_the_generation_that_is_served(river: River) -> None:
    cluster = flink.Cluster(river.settings.flink_url)
    river.tidemark("cancel", "materialize-g2")
    assert river.tidemark("submit", "materialize").startswith("materialize-g2 ")
    job = cluster.running("materialize-g2")
    assert job is not None
    river.stream.step()
    wait_for(lambda: {"": river.frontier()}, river.stream.closed_ms, timeout_s=PATIENCE_S)
    assert river.projects() == {project_of(2)}


def test_of_two_kept_generations_either_is_served_though_the_worker_of_both_was_killed(river: River) -> None:
    stream, service = river.stream, river.plan.services["again_buy"]
    cluster = flink.Cluster(river.settings.flink_url)

    def restarted(name: str) -> bool:
        job = cluster.running(name)
        return job is not None and job.restarts > 0

    def filled() -> bool:
        job = cluster.running("materialize-g3")
        return job is not None and job.checkpoint is not None  # one that does not run yet need not be restarted

    with ThreadPoolExecutor(1) as beside:
        rebuilding = beside.submit(river.tidemark, "rebuild")
        eventually(lambda: f"running: {river.running()}", lambda: filled() or rebuilding.done())
        kill(river.settings, "flink-taskmanager")
        rebuilt = rebuilding.result()
    assert "✓ equal" in rebuilt
    for name in ("materialize-g2", "materialize-g3"):
        eventually(f"{name} was restarted", partial(restarted, name))

    def served_and_right(generation: int) -> None:
        assert active_generation.read_active(river.store).generation == generation
        eventually("both run", lambda: {"materialize-g2", "materialize-g3"} <= river.running())
        for _ in range(7):
            stream.step()
        wait_for(lambda: {"": river.frontier()}, stream.closed_ms, timeout_s=PATIENCE_S)
        asked = [(user, NOON + minute * MINUTE) for minute in range(5, stream.minutes - 10) for user in USERS]
        assert river.read(OnlineReader(service, river.store), asked) == [river.expected(*each) for each in asked]

    assert "generation 3 is served" in river.tidemark("switch", "--keep")
    served_and_right(3)
    assert "generation 2 is served" in river.tidemark("switch", "2", "--keep")
    served_and_right(2)
    assert river.projects() == {project_of(2), project_of(3)}
    said = river.tidemark("switch", "3").splitlines()
    assert any(line.startswith("job materialize-g2 ") and line.endswith(" cancelled") for line in said)
    assert river.projects() == {project_of(3)}


def test_an_emptied_store_serves_stale_what_it_has_lost_until_it_is_rebuilt(river: River) -> None:
    river.stream.end()  # from here on it goes step by step
    stream, before = river.stream, active_generation.read_active(river.store)
    view = stream.view
    service = replace(river.plan.services["again_buy"], views=(view,), request_features=())

    def exact(asked: list[tuple[str, int]]) -> set[tuple[str, int]]:
        """Which of them are said to be exact; each is right."""
        request = {
            "request_id": pa.array([str(number) for number in range(len(asked))]),
            "event_time": pa.array([at + view.delay_ms for _, at in asked], pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
            "user": pa.array([user for user, _ in asked]),
        }
        rows = OnlineReader(service, river.store).read(pa.table(request)).table.to_pylist()
        found = set()
        for each, row in zip(asked, rows, strict=True):
            if not row["stale"]:
                assert {name: row[name] for name in ("clicks_5m", "spent_5m", "last_amount_10m")} == river.expected(*each)
                found.add(each)
        return found

    def every() -> list[tuple[str, int]]:
        return [(user, NOON + minute * MINUTE) for minute in range(stream.minutes - 40, stream.minutes + 1) for user in USERS]

    def caught_up() -> None:
        wait_for(lambda: {"": river.frontier()}, stream.closed_ms, timeout_s=PATIENCE_S)

    caught_up()
    assert exact(every()) == set(every())
    river.client.flushdb()
    assert exact(every()) == set()
    emptied_ms = stream.closed_ms
    stream.step()
    caught_up()  # what Kafka held when the loss was noticed may be lost; what comes from now on is known to be whole
    for _ in range(20):
        stream.step()
    caught_up()
    assert active_generation.read_active(river.store) == before
    since_ms = river.store.frontiers(project=before.project).known([view.name])[view.name].since_ms
    assert since_ms is not None
    assert emptied_ms <= since_ms < stream.closed_ms
    found = exact(every())
    assert found == {(user, at) for user, at in every() if at - view.longest_window_ms >= since_ms}
    assert found
    assert f"view {view.name} has lost data, is complete since " in river.tidemark("frontier")

    assert "✓ equal" in river.tidemark("rebuild", "--switch")
    caught_up()
    assert exact(every()) == set(every())
    assert "lost data" not in river.tidemark("frontier", view.name)
