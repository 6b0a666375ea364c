"""Kafka transactions on the real services: what is aborted was never there, and what is not decided yet holds time back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from features.catalog import load
from infra import flink
from infra.settings import Settings
from jobs.control import frontiers
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages as read
from jobs.kafka.end_marker import EndMarker
from jobs.kafka.producer import Publisher
from jobs.kafka.slices import Slice, bodies_of
from schemas.parquet import parquet_files
from schemas.wire import encode
from tests import shop
from tests.e2e.command_line import tidemark
from tests.e2e.readings.run import Run, tile_records
from tests.shop import MINUTE, NOON
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.e2e

CLICK = shop.schemas().current("click")
LATER = 10 * MINUTE


def click(user: str, at_ms: int) -> bytes:
    return encode(CLICK, {"event_time": at_ms, "user": user, "shop": 7, "shelf": "top", "amount": 1.0})


@contextmanager
def transaction(kafka: Connection, name: str) -> Iterator[Producer]:
    """A producer in a transaction, which the block ends."""
    producer = Producer({"bootstrap.servers": kafka.servers, "transactional.id": name, "log_level": 0})
    producer.init_transactions()
    producer.begin_transaction()
    yield producer


def test_aborted_events_count_nowhere_and_open_ones_hold_time_back(settings: Settings, tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    shutil.copytree(shop.DEFINITIONS, definitions, ignore=shutil.ignore_patterns("__pycache__"))
    for file in definitions.glob("*.py"):
        file.write_text(re.sub(r"\b(clicks|offers|user_clicks|shelf_clicks|buy)\b", r"open_\1", file.read_text()))
    own = replace(settings, definitions=definitions, schemas=shop.SCHEMAS, partitions=2, idle_timeout_ms=500, checkpoint_interval_ms=1_000)
    plan, kafka = load(definitions, shop.SCHEMAS), Connection.of(own)
    source, view = plan.sources["open_clicks"], plan.views["open_user_clicks"]
    admin.create(kafka, [source.topic], partitions=2, replication=1, config={"retention.ms": "-1"})
    run = Run(settings=own, plan=plan, streams={}, end_ms=0)

    def archived() -> int:
        folder = own.home / "archive" / source.name
        return sum(pq.read_metadata(file).num_rows for file in parquet_files(folder)) if folder.is_dir() else 0

    def counts() -> dict[str, int]:
        return {key[0]: record["count"] for (key, _), record in tile_records(run, view).items()}

    job = flink.submit("jobs.features", [source.name], name="features-open", settings=own)
    try:
        for number, finish in ((5, Producer.abort_transaction), (2, Producer.commit_transaction)):
            with transaction(kafka, "decided") as producer:
                for at in range(number):
                    producer.produce(source.topic, click("ann", NOON + at), partition=0)
                assert producer.flush(PATIENCE_S) == 0  # also what is aborted has been written
                finish(producer)
        with transaction(kafka, "undecided") as undecided:
            for at in range(3):
                undecided.produce(source.topic, click("bob", NOON + at), partition=1)
            assert undecided.flush(PATIENCE_S) == 0
            with transaction(kafka, "later") as producer:
                producer.produce(source.topic, click("eve", NOON + LATER), partition=0)
                producer.commit_transaction()
            eventually("what is committed is archived", lambda: archived() == 3)
            held = frontiers.held(admin.undecided(kafka, [source.topic, "no_such_topic"]))
            assert held == [
                f"topic {source.topic}, partition 1: an open transaction holds back 3 records from offset 0 on, and event time with them"
            ]
            said = tidemark(own, "frontier", view.name, "--wait", "2013-10-01T12:01Z", "--timeout", "1", code=3)
            assert held[0] in said
            assert held[0] in tidemark(own, "frontier", view.name)
            assert admin.extents(kafka, [source.topic])[source.topic][1] == (0, 0), "readers get no further"
            assert counts() == {}, "the undecided events would be late"
            undecided.commit_transaction()
        with transaction(kafka, "decided") as producer:
            producer.produce(source.topic, click("ann", NOON), partition=1)
            assert producer.flush(PATIENCE_S) == 0
            producer.abort_transaction()
        eventually("partitions that end with what no reader is given are idle", lambda: set(counts()) == {"ann", "bob"})
        with Publisher(kafka, source.topic, CLICK, event_time="event_time") as publisher:
            publisher.marker(EndMarker.of(plan, source, newest_ms=NOON + LATER).marker_ms, final=True)
        eventually("all tiles", lambda: set(counts()) == {"ann", "bob", "eve"})
        assert counts() == {"ann": 2, "bob": 3, "eve": 1}
        assert list(read(kafka, source.late_topic)) == list(read(kafka, source.dead_letter_topic)) == []
        assert frontiers.held(admin.undecided(kafka, [source.topic])) == []
    finally:
        flink.Cluster(own.flink_url).cancel(job)
    eventually("the archive of all", lambda: archived() == 6)
    extents = admin.extents(kafka, [source.topic])[source.topic]
    slices = [
        Slice(source=source.name, topic=source.topic, partition=number, first=first, end=end) for number, (first, end) in extents.items()
    ]
    history = [body for piece in slices for batch in bodies_of(kafka, piece) for body in batch]
    assert len(history) == 6 + 2, "history from Kafka is the same events, and a marker for each partition"
