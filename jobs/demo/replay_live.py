"""The live part: September as fast as it goes, October step by step, then the backfill of what was served."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from features.plan import FRONTIER_TOPIC, ServicePlan
from inference.online.active_generation import read_active
from inference.online.connection import connect
from jobs.control.frontiers import wait_for
from jobs.demo.closings import Closings
from jobs.demo.demo import DAY_MS, OCTOBER_MS, SERVICE, Demo
from jobs.demo.findings import Evidence
from jobs.demo.replay import Replay
from jobs.demo.topic_follower import Follower
from jobs.kafka.connection import Connection
from schemas.errors import ServiceError
from schemas.schema import SHIPPED, SchemaSet
from schemas.wording import quantity

STEPS_A_DAY = 4
HISTORY_DAYS = 30
PATIENCE_S = 180.0


def replay_october(demo: Demo, follower: Follower, events: dict[str, pa.Table], requests: pa.Table) -> Evidence:
    """Replay the days, wait until all is answered and archived, and backfill it.

    Args:
        demo: The run; all three jobs run.
        follower: Reads every topic that the jobs write.
        events: Source name → its events of the whole year, in time order.
        requests: Of the whole year, in time order.
    """
    settings, service = demo.settings, demo.service
    schemas = SchemaSet.load(SHIPPED)
    store = connect(settings.redis_url)
    frontiers, views = store.frontiers(project=read_active(store).project), [view.name for view in service.views]

    def readable(until_ms: int) -> None:
        boundary = min(until_ms // view.tile_ms * view.tile_ms for view in service.views)
        wait_for(lambda: frontiers.read(views), boundary, timeout_s=PATIENCE_S)
        follower.check()

    replay = Replay(
        service,
        kafka=Connection.of(settings),
        schemas=schemas,
        events=events,
        requests=requests,
        wait=readable,
        disorder=demo.disorder,
    )
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
        notes.append(quantity(count, "event"))
    steps = demo.days * STEPS_A_DAY
    length_ms = DAY_MS // STEPS_A_DAY
    name = f"{demo.days} days of October" if demo.days > 1 else "1 day of October"
    with demo.stages.stage(name, total=replay.size(OCTOBER_MS, demo.end_ms)) as notes:
        for step in range(steps):
            start_ms = OCTOBER_MS + step * length_ms
            demo.stages.advance(name, replay.step(start_ms, start_ms + length_ms, steps_left=steps - step))
        replay.close(demo.end_ms)
        _wait_for_records(follower, (service.predictions_topic,), len(replay.tally.asked_ns))
        notes.append(quantity(len(replay.tally.asked_ns), "request"))
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
        notes.append(quantity(archived, "event"))
    served = ("--service", SERVICE, "--events", archive, "--requests", requests, "--out", out, "--overwrite")
    demo.run([demo.task("backfill of what was served", "backfill", *served)])
    return ds.dataset(out).to_table()


def _rows(folder: Path) -> int:
    """Of all finished Parquet files below a folder."""
    return sum(pq.read_metadata(file).num_rows for file in folder.rglob("*") if file.is_file() and not file.name.startswith((".", "_")))
