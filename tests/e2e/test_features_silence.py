"""`jobs/features` and silence on the real services: a silent partition holds nothing back, and a burst after it is counted whole."""

from __future__ import annotations

import dataclasses
import random
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from confluent_kafka import Producer

from features.plan import SourcePlan, ViewPlan
from infra import flink, flink_submission
from infra.settings import Settings
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages as read
from schemas.schema import SchemaSet
from schemas.wire import Encoder, marker
from tests.e2e.readings import stream
from tests.e2e.readings.run import FOLDER, Run, closings, last_boundary, prepared, tile_records
from tests.e2e.readings.stream import LATENESS_MS, PARTITIONS, START_MS
from tests.e2e.scoring import suspended
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.e2e

BURST = 8_000
MINUTE_MS = 60_000
STEP_MS = 10_000  # of event time between two records: a day in all


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bursting:
    """The job of a source, of one subtask or more."""

    run: Run
    source: SourcePlan
    view: ViewPlan
    job: str

    @classmethod
    def of(cls, settings: Settings, folder: Path, parallelism: int) -> Self:
        prefix = f"burst{parallelism}"
        own, plan = prepared(settings, folder / prefix, prefix)
        own = dataclasses.replace(own, idle_timeout_ms=1_000, parallelism=parallelism)
        source = plan.sources[f"{prefix}_every"]
        run = Run(settings=own, plan=plan, streams={}, end_ms=START_MS + MINUTE_MS * 60 + (BURST + 60) * STEP_MS)
        job = flink_submission.submit("jobs.features", [source.name], name=f"features-{prefix}", settings=own)
        return cls(run=run, source=source, view=plan.views[f"{prefix}_every_places"], job=job)


def test_a_burst_after_silence_is_counted_whole(settings: Settings, tmp_path: Path) -> None:
    """Event times alone tell the time: the producer sets no record timestamps and sends no markers until the end. In one subtask and in two."""
    jobs = list[Bursting]()
    try:
        for parallelism in (1, 2):
            jobs.append(Bursting.of(settings, tmp_path, parallelism))
        ahead_ms, begin_ms = START_MS + 10 * MINUTE_MS, START_MS + 60 * MINUTE_MS
        for each in jobs:
            send(each.run, each.source.topic, readings([(0, START_MS), (1, ahead_ms)]))
        for each in jobs:
            boundary_ms = (ahead_ms - LATENESS_MS + 1) // each.view.tile_ms * each.view.tile_ms
            eventually("time goes on although one partition fell silent early", partial(closed, each.run, each.view, boundary_ms))

        burst = readings([(number % PARTITIONS, begin_ms + number * STEP_MS) for number in range(BURST)])
        with suspended(settings, "flink-taskmanager"):  # all of the burst is there before any of it is read, however slowly it is sent
            for each in jobs:
                send(each.run, each.source.topic, burst)
        for each in jobs:
            publish_markers(each.run, each.source.topic)
        for each in jobs:
            eventually("the last closing", partial(closed, each.run, each.view, last_boundary(each.run, each.view)))
            assert read_count(each.run, each.source.late_topic) == read_count(each.run, each.source.dead_letter_topic) == 0
            assert counted(each.run, each.view) == BURST + 2
    finally:
        for each in jobs:
            flink.Cluster(settings.flink_url).cancel(each.job)


def readings(records: list[tuple[int, int]]) -> list[tuple[int, bytes]]:
    """Partition and body of readings with these partitions and event times, all valid and with a meter."""
    dice = random.Random(len(records))
    encoder = Encoder(SchemaSet.load(FOLDER / "schemas").current("reading"))
    told = []
    for number, (partition, time_ms) in enumerate(records):
        reading = stream.fresh(dice, f"r{number}", time_ms) | {"meter": f"m{number % 12}", "event_time": time_ms, "valid": True}
        told.append((partition, encoder.encode(reading)))
    return told


def send(run: Run, topic: str, bodies: list[tuple[int, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": run.settings.kafka_servers, "enable.idempotence": True})
    for partition, body in bodies:
        producer.produce(topic, body, partition=partition)
        producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0


def publish_markers(run: Run, topic: str) -> None:
    producer = Producer({"bootstrap.servers": run.settings.kafka_servers})
    for partition in range(PARTITIONS):
        producer.produce(topic, marker(run.end_ms, final=True), partition=partition)
    assert producer.flush(PATIENCE_S) == 0


def closed(run: Run, view: ViewPlan, boundary_ms: int) -> bool:
    return boundary_ms in dict(closings(run, view.name))


def read_count(run: Run, topic: str) -> int:
    return sum(1 for _ in read(Connection.of(run.settings), topic))


def counted(run: Run, view: ViewPlan) -> int:
    """The events in all tiles of a view, each tile once."""
    return sum(record["count"] for record in tile_records(run, view).values())
