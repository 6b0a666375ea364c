"""The whole example from an empty runtime to a report: start, train, replay October, compare."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from features.catalog import load
from features.compiler.plan import FRONTIER_TOPIC, Plan, ServicePlan
from inference.online.connection import connect
from inference.online.frontier import Frontiers
from infra import runtime
from infra.settings import Settings
from jobs import flights
from jobs.demo import home
from jobs.demo.closings import Closings
from jobs.demo.findings import Evidence
from jobs.demo.processes import Task, run
from jobs.demo.replay import Replay
from jobs.demo.report import Findings
from jobs.demo.stages import Stages
from jobs.demo.watch import Follower
from jobs.frontier import wait_for
from schemas.errors import ServiceError
from schemas.record import SHIPPED, SchemaSet

SERVICE = "flight_delay"
DAY_MS = 24 * 3_600_000
STEPS_A_DAY = 4
HISTORY_DAYS = 30
PATIENCE_S = 180.0
OCTOBER_MS = int(datetime(2013, 10, 1, tzinfo=ZoneInfo("America/New_York")).timestamp() * 1000)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """One run.

    Attributes:
        days: Of October to replay.
        settings: Where; the embedded runtime of this home, the shipped definitions.
        plan: The shipped definitions.
        stages: Where progress is shown.
    """

    days: int
    settings: Settings
    plan: Plan
    stages: Stages

    @property
    def service(self) -> ServicePlan:
        """The example's feature service."""
        return self.plan.services[SERVICE]

    @property
    def folder(self) -> Path:
        """What the demo leaves."""
        return self.settings.home / "demo"

    @property
    def dead_letter_topics(self) -> tuple[str, ...]:
        """Where refused events and requests go."""
        sources = [*(view.source for view in self.service.views), self.service.request]
        return tuple(dict.fromkeys(source.dead_letter_topic for source in sources))

    @property
    def end_ms(self) -> int:
        """The end of the last day."""
        return OCTOBER_MS + self.days * DAY_MS

    def task(self, name: str, *arguments: object) -> Task:
        """A command of ours, with a log named after it."""
        words = tuple(map(str, arguments))
        return Task(name=name, arguments=words, log=self.settings.home / "logs" / f"demo-{name.replace(' ', '-')}.log")


def prepare(days: int, stages: Stages) -> Demo:
    """A run in the home of the settings, whatever services and definitions they name.

    A replay is silent between its steps and marks the time of every partition itself: none of them is idle.
    """
    settings = dataclasses.replace(
        Settings.load(),
        kafka=None,
        redis=None,
        flink=None,
        registry=None,
        definitions=None,
        schemas=None,
        parallelism=1,
        idle_timeout_ms=DAY_MS,
        checkpoint_interval_ms=5_000,
    )
    return Demo(days=days, settings=settings, plan=load(None, None), stages=stages)


def play(demo: Demo, *, keep: bool, judge: Callable[[Evidence], Findings]) -> Findings:
    """Run it all; the runtime ends with it unless it is to be kept.

    Args:
        demo: What.
        keep: Leave the runtime with its jobs running.
        judge: Called with what there is to measure while the runtime still runs.

    Raises:
        TidemarkError: What failed, in one line, with its log.
    """
    with demo.stages.stage("2013's flights as Parquet"):
        files = flights.ensure(demo.settings.home / "data")
    demo.folder.mkdir(parents=True, exist_ok=True)
    with _runtime(demo, keep=keep):
        home.forget(demo.plan, demo.settings)
        _train_and_submit(demo, files)
        letters = [topic for view in demo.service.views for topic in (f"{view.tiles_topic}.dlq", view.source.late_topic)]
        topics = tuple(dict.fromkeys((FRONTIER_TOPIC, demo.service.predictions_topic, *demo.dead_letter_topics, *letters)))
        with Follower(servers=demo.settings.kafka_servers, topics=topics) as follower:
            events = {
                name: _load(files.events / name, source.event_time)
                for name, source in demo.plan.sources.items()
                if name != demo.service.request.name
            }
            requests = _load(files.requests, demo.service.request.event_time)
            evidence = _replay(demo, follower, events, requests)
        with demo.stages.stage("comparing and measuring"):
            return judge(evidence)


@contextmanager
def _runtime(demo: Demo, *, keep: bool) -> Iterator[None]:
    with demo.stages.stage("Kafka, Valkey and Flink"):
        if keep:
            runtime.start(demo.settings, detach=True)
            own = None
        else:
            _, own = runtime.start(demo.settings, detach=False)
    try:
        yield
    finally:
        if own is not None:
            runtime.stop(demo.settings)
            own.wait()


def _train_and_submit(demo: Demo, files: flights.FlightFiles) -> None:
    """January to September through Spark and LightGBM, while Flink's jobs start beside it."""
    training, model = demo.folder / "training", demo.folder / "model"
    data = ("--events", files.events, "--requests", files.requests, "--until", "2013-10-01T04:00Z")
    run(
        [
            [
                demo.task(
                    "backfill of January to September", "backfill", "--service", SERVICE, *data, "--label", "--out", training, "--overwrite"
                ),
                demo.task("training", "train", SERVICE, "--training", training, "--out", model),
            ],
            [
                demo.task("features job", "submit", "features"),
                demo.task("materialize job", "submit", "materialize"),
            ],
        ],
        demo.settings,
        began=lambda task: demo.stages.began(task.name),
        ended=lambda task, seconds: demo.stages.ended(task.name, seconds),
    )
    _one(demo, demo.task("score job", "submit", "score", SERVICE, "--model", model))


def _one(demo: Demo, task: Task) -> None:
    run([[task]], demo.settings, began=lambda t: demo.stages.began(t.name), ended=lambda t, seconds: demo.stages.ended(t.name, seconds))


def _replay(demo: Demo, follower: Follower, events: dict[str, pa.Table], requests: pa.Table) -> Evidence:
    settings, service = demo.settings, demo.service
    schemas = SchemaSet.load(SHIPPED)
    frontiers, views = Frontiers(connect(settings.redis_url)), [view.name for view in service.views]

    def readable(until_ms: int) -> None:
        boundary = min(until_ms // view.tile_ms * view.tile_ms for view in service.views)
        wait_for(lambda: frontiers.read(views), boundary, timeout_s=PATIENCE_S)
        follower.check()

    replay = Replay(service, servers=settings.kafka_servers, schemas=schemas, events=events, requests=requests, wait=readable)
    closings = Closings(schema=schemas.current("closing"))
    september_ms = OCTOBER_MS - HISTORY_DAYS * DAY_MS
    with demo.stages.stage("first records"):
        _wait_for_records(follower, demo.dead_letter_topics, replay.warm_up(september_ms))
    with demo.stages.stage(f"{HISTORY_DAYS} days of September, as fast as it goes") as notes:
        since = time.monotonic()
        count = replay.history(september_ms, OCTOBER_MS)
        _wait_closed(closings, follower, service, OCTOBER_MS)
        throughput = count / (time.monotonic() - since)
        readable(OCTOBER_MS)
        notes.append(f"{count:,} events")
    steps = demo.days * STEPS_A_DAY
    length_ms = DAY_MS // STEPS_A_DAY
    name = f"{demo.days} days of October" if demo.days > 1 else "1 day of October"
    with demo.stages.stage(name, total=replay.size(OCTOBER_MS, demo.end_ms)) as notes:
        for step in range(steps):
            start_ms = OCTOBER_MS + step * length_ms
            demo.stages.advance(name, replay.step(start_ms, start_ms + length_ms, steps_left=steps - step))
        replay.close(demo.end_ms)
        _wait_for_records(follower, (service.predictions_topic,), len(replay.tally.asked_ns))
        notes.append(f"{len(replay.tally.asked_ns):,} requests")
    closings.take(follower.records)
    asked = replay.requests_between(OCTOBER_MS, demo.end_ms)
    backfilled = _backfill_served(demo, asked, replay.tally.events)
    return Evidence(
        plan=demo.plan,
        service=service,
        schemas=schemas,
        settings=settings,
        tally=replay.tally,
        records=list(follower.records),
        backfilled=backfilled,
        outcomes=events,
        tiles=sum(closings.tiles.values()),
        throughput_events_per_s=throughput,
        days=demo.days,
        model=demo.folder / "model",
    )


def _wait_closed(closings: Closings, follower: Follower, service: ServicePlan, until_ms: int) -> None:
    """Until the features job is through with a time: it has written every tile of every view up to it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        follower.check()
        closings.take(follower.records)
        behind = [view.name for view in service.views if closings.newest.get(view.name, -1) < until_ms // view.tile_ms * view.tile_ms]
        if not behind:
            return
        if time.monotonic() > deadline:
            raise ServiceError(
                f"demo: the features job has not closed the tiles of {', '.join(behind)} within {PATIENCE_S:.0f} s; see `tidemark jobs` and {FRONTIER_TOPIC}"
            )
        time.sleep(0.02)


def _wait_for_records(follower: Follower, topics: Collection[str], expected: int) -> None:
    """Until so many records were read; when fewer come, what is missing is for the comparison to report."""
    deadline = time.monotonic() + PATIENCE_S / 6
    while sum(record.topic in topics for record in follower.records) < expected and time.monotonic() < deadline:
        follower.check()
        time.sleep(0.05)


def _backfill_served(demo: Demo, asked: pa.Table, events: int) -> pa.Table:
    """What Spark makes of the archive that the stream wrote, for the same requests."""
    archive, requests, out = demo.settings.home / "archive", demo.folder / "requests.parquet", demo.folder / "served"
    pq.write_table(asked, requests)
    with demo.stages.stage("archive complete") as notes:
        sources = sorted({view.source.name for view in demo.service.views})
        deadline = time.monotonic() + PATIENCE_S / 3
        while (archived := sum(_rows(archive / source) for source in sources)) < events:
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"demo: {archive} holds {archived:,} events, not {events:,}; see the checkpoints of the features job in `tidemark jobs`"
                )
            time.sleep(0.2)
        notes.append(f"{archived:,} events")
    served = ("--service", SERVICE, "--events", archive, "--requests", requests, "--out", out, "--overwrite")
    _one(demo, demo.task("backfill of what was served", "backfill", *served))
    return ds.dataset(out).to_table()


def _rows(folder: Path) -> int:
    """Of all finished Parquet files below a folder."""
    return sum(pq.read_metadata(file).num_rows for file in folder.rglob("*") if file.is_file() and not file.name.startswith((".", "_")))


def _load(folder: Path, event_time: str) -> pa.Table:
    return ds.dataset(folder).to_table().sort_by([(event_time, "ascending")])
