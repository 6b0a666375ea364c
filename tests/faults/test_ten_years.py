"""A source's ten years are replayed while three other jobs run: every event counts once, memory stays flat, and nobody is disturbed.

Minutes long, so not a part of `make test`: `make large` runs it.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog import load
from features.plan import Plan
from infra import flink, runtime
from infra.runtime import RuntimeState
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.end_marker import EndMarker
from jobs.kafka.producer import Publisher
from schemas.parquet import parquet_files
from tests import shop
from tests.e2e.command_line import tidemark
from tests.e2e.readings.run import Run, tile_records
from tests.e2e.scoring import ask, process_of
from tests.shop import MINUTE, NOON
from tests.waiting import PATIENCE_S, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.large]

DAY_MS, DAYS = 24 * 60 * MINUTE, 3_652
EVENTS, USERS = 600_000, 500
FIRST_MS, STEP_MS = NOON - DAYS * DAY_MS, DAYS * DAY_MS // EVENTS
LIVE_USERS = ("ann", "bob", "zoe")
HISTORY = '''"""A source beside the shop's."""

from __future__ import annotations

from datetime import timedelta

from features import Count, Entity, FeatureView, Source

past = Source(topic="past", schema="click", lateness=timedelta(seconds=5))
visitor = Entity(keys=["user"])
past_clicks = FeatureView(
    entity=visitor, source=past, tile=timedelta(minutes=1), delay=timedelta(seconds=7), features={"past_5m": Count().over(timedelta(minutes=5))}
)
'''


@dataclass(kw_only=True)
class Live:
    """The shop's clicks and offers, a second of event time in each step, while the past is replayed."""

    settings: Settings
    plan: Plan
    seconds: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        clicks, offers = (self._publisher(name) for name in ("clicks", "offers"))
        with clicks, offers:
            while not self.ended.wait(0.02):
                at_ms = NOON + self.seconds * 1_000
                clicks.publish(table("click", [click(user, at_ms, 1.0) for user in LIVE_USERS]))
                offer = {"request_id": f"r{self.seconds}", "event_time": at_ms, "user": "ann", "shop": 7, "shelf": "top", "price": 2.5}
                offers.publish(table("offer", [offer | {"colour": "red"}]))
                self.seconds += 1
            for publisher, name in ((clicks, "clicks"), (offers, "offers")):
                publisher.marker(EndMarker.of(self.plan, self.plan.sources[name], newest_ms=at_ms).marker_ms, final=True)

    def _publisher(self, name: str) -> Publisher:
        source = self.plan.sources[name]
        schema = shop.schemas().current(source.schema)
        return Publisher(Connection.of(self.settings), source.topic, schema, event_time="event_time", key=["user"])


def table(schema: str, rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=shop.schemas().current(schema).arrow)


def click(user: str, at_ms: int, amount: float) -> dict[str, object]:
    return {"event_time": at_ms, "user": user, "shop": 7, "shelf": "top", "amount": amount}


@contextmanager
def river(settings: Settings, model: Path) -> Iterator[Settings]:
    with runtime.started(settings):
        own = replace(settings, kafka=settings.kafka_servers, redis=settings.redis_url, flink=settings.flink_url)
        admin.ensure(own, load(own.definitions, own.schemas))
        for job in (["features", "clicks"], ["materialize"], ["score", "buy", "--model", str(model)]):
            tidemark(own, "submit", *job)
        yield own


def test_ten_years_beside_three_other_jobs(tmp_path: Path) -> None:
    definitions, home = tmp_path / "definitions", tmp_path / "home"
    shutil.copytree(shop.DEFINITIONS, definitions, ignore=shutil.ignore_patterns("__pycache__"))
    (definitions / "history.py").write_text(HISTORY)
    environ = {"TIDEMARK_HOME": str(home), "TIDEMARK_START_TIMEOUT": f"{PATIENCE_S:.0f}s", "TIDEMARK_PARTITIONS": "2"}
    settings = replace(Settings.load(environ=environ, folder=tmp_path), definitions=definitions, schemas=shop.SCHEMAS)
    plan = load(definitions, shop.SCHEMAS)
    with river(settings, shop.train(tmp_path / "model", plan.services["buy"])) as own, ThreadPoolExecutor(1) as beside:
        live = Live(settings=own, plan=plan)
        running = beside.submit(live.run)
        try:
            before, open_files, heap = state(own), [0], list[int]()
            publish_the_past(own, plan)
            tidemark(own, "submit", "features", "past")
            folder = home / "archive" / "past"

            def archived() -> bool:
                open_files.append(sum(1 for _ in folder.rglob(".*.inprogress.*")) if folder.is_dir() else 0)
                heap.append(heap_used(own))
                return folder.is_dir() and sum(pq.read_metadata(file).num_rows for file in parquet_files(folder)) >= EVENTS

            eventually("the past is in the archive", archived)
            run = Run(settings=own, plan=plan, streams={}, end_ms=0)
            eventually("its tiles", lambda: counted(run, "past_clicks").total() >= EVENTS)
            live.ended.set()
            running.result()
            eventually("the live ones", lambda: counted(run, "user_clicks").total() >= live.seconds * len(LIVE_USERS))
            predictions = plan.services["buy"].predictions_topic
            eventually("the predictions", lambda: sum(1 for _ in messages(Connection.of(own), predictions)) >= live.seconds)
        finally:
            live.ended.set()
        floors = [min(part) for part in quarters(heap)]
        resident = process_of(own, "flink-taskmanager").memory_info().rss >> 20
        print(
            f"{EVENTS:,} events of {DAYS:,} days: at most {max(open_files)} files open; least heap in each quarter {floors} MiB, process {resident} MiB"
        )
        print(f"beside them {live.seconds:,} s of the shop")
        print(tidemark(own, "jobs"))

        assert counted(run, "past_clicks") == Counter({f"u{user}": EVENTS // USERS for user in range(USERS)})
        assert counted(run, "user_clicks") == dict.fromkeys(LIVE_USERS, live.seconds)
        assert {message.key() for message in messages(Connection.of(own), predictions)} == {b"r%d" % at for at in range(live.seconds)}
        assert sum(1 for _ in messages(Connection.of(own), predictions)) == live.seconds, "each once"
        refused = [plan.sources[name].dead_letter_topic for name in ("past", "clicks", "offers")]
        for topic in (*refused, *(plan.sources[name].late_topic for name in ("past", "clicks"))):
            assert sum(1 for _ in messages(Connection.of(own), topic)) == 0, topic
        assert max(open_files) <= 2 * own.parallelism, "at midnight a second folder is begun"
        # Of halves: a quarter may have no collection of all, and then tells of garbage.
        assert min(floors[2:]) < 1.25 * min(floors[:2]), "what stays in the heap does not grow with the days"
        assert state(own) == before, "no service was replaced"
        assert [(job.state, job.restarts) for job in flink.Cluster(own.flink_url).jobs()] == [("RUNNING", 0)] * 4
        tidemark(own, "status")


def publish_the_past(settings: Settings, plan: Plan) -> None:
    source, users = plan.sources["past"], pa.array([f"u{number % USERS}" for number in range(EVENTS)])
    times = pa.array(range(FIRST_MS, FIRST_MS + EVENTS * STEP_MS, STEP_MS), pa.int64())
    columns: dict[str, pa.Array[Any]] = {
        "event_time": times,
        "user": users,
        "shop": pa.repeat(7, EVENTS),
        "shelf": pa.repeat("top", EVENTS),
        "amount": pa.repeat(1.0, EVENTS),
    }
    schema = shop.schemas().current("click")
    rows = pa.table([columns[name].cast(schema.arrow.field(name).type) for name in schema.arrow.names], schema=schema.arrow)
    with Publisher(Connection.of(settings), source.topic, schema, event_time="event_time", key=["user"]) as publisher:
        publisher.publish(rows)
        publisher.marker(EndMarker.of(plan, source, newest_ms=FIRST_MS + (EVENTS - 1) * STEP_MS).marker_ms, final=True)


def counted(run: Run, view: str) -> Counter[str]:
    """User → how many events its tiles count."""
    found = Counter[str]()
    for (key, _), record in tile_records(run, run.plan.views[view]).items():
        found[key[0]] += record["count"]
    return found


def heap_used(settings: Settings) -> int:
    """Of the TaskManager, in MiB."""
    [metric] = ask(settings, "/taskmanagers/flink-taskmanager/metrics?get=Status.JVM.Memory.Heap.Used")
    return int(metric["value"]) >> 20


def quarters(values: list[int]) -> list[list[int]]:
    size = max(1, len(values) // 4)
    return [values[at : at + size] for at in range(0, 4 * size, size)]


def state(settings: Settings) -> list[tuple[str, int]]:
    found = RuntimeState.read(settings)
    assert found is not None
    return [(service.name, service.pid) for service in found.services]
