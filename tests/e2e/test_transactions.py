"""Kafka transactions on the real services: what is aborted was never there, and what is not decided yet holds time back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from features.catalog import load
from infra import flink, flink_submission
from infra.settings import Settings
from jobs.control import frontiers
from jobs.kafka import admin, open_transactions
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages as read
from jobs.kafka.end_marker import EndMarker
from jobs.kafka.producer import Publisher
from jobs.kafka.slices import Slice, bodies_of
from schemas.parquet import parquet_files
from schemas.times import show_ms
from schemas.wire import encode, now_ms
from schemas.wording import span
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


def waiting(settings: Settings, command: str) -> list[str]:
    """What a command says of jobs that wait for a transaction. Services are passed over: one that another test had killed is told with the last words of its log."""
    lines = tidemark(settings, command, code=None).splitlines()
    return [line for line in lines if ": an open transaction holds back " in line or ": which transactions are open is not known: " in line]


def test_a_transaction_is_told_when_it_has_lasted(settings: Settings) -> None:
    """By its first record, where that bears the clock's time; else when it stays for two looks."""
    kafka, topic, now = Connection.of(settings), "lasting_transactions", now_ms()
    admin.create(kafka, [topic], partitions=4, replication=1, config={"retention.ms": "-1"})
    times = [now, NOON, now + 30 * MINUTE, NOON]
    with ExitStack() as stack:
        producers = [stack.enter_context(transaction(kafka, f"lasting-{partition}")) for partition in range(len(times))]

        def produce(partition: int) -> None:
            producers[partition].produce(topic, b"", partition=partition, timestamp=times[partition])
            assert producers[partition].flush(PATIENCE_S) == 0

        def told(at_ms: int, pause: Callable[[float], None] = lambda _: None) -> list[str]:
            found = open_transactions.lasting(kafka, [topic, "no_such_topic"], now_ms=at_ms, pause=pause)
            return [one.told(servers="S", longest_ms=15 * MINUTE, now_ms=at_ms) for one in found]

        def another(_: float) -> None:
            producers[3].commit_transaction()
            producers[3].begin_transaction()
            produce(3)

        for partition in range(len(times)):
            produce(partition)
        holds = f"topic {topic}, partition {{}}: an open transaction holds back 1 record from offset 0 on; its first record is of {{}}, {{}}; {{}}"
        lost = (
            "a transaction that the broker has not ended after its transaction.timeout.ms, at most 15 min, is one that it has lost track of: "
            f"`kafka-transactions.sh --bootstrap-server S abort --start-offset 0 --topic {topic} --partition {{}}` ends it"
        )
        days = span(now + 29_999 - NOON)
        unknown = [
            holds.format(1, show_ms(NOON), f"{days} behind now", lost.format(1)),
            holds.format(2, show_ms(times[2]), "29 min 30 s ahead of now", lost.format(2)),
        ]
        assert told(now + 29_999, another) == unknown, "one is young, and of one partition the second look sees another"
        first = told(now + 30_000)[0]
        assert first == holds.format(
            0,
            show_ms(now),
            "30 s behind now",
            "its producer ends it, or one that starts with the same transactional.id, or the broker after its transaction.timeout.ms, at most 15 min: "
            f"`kafka-transactions.sh --bootstrap-server S describe-producers --topic {topic} --partition 0` names the producer",
        )
        assert lost.format(0) in told(now + 15 * MINUTE + 1)[0]
        for producer in producers:
            producer.commit_transaction()
        assert told(now + 60 * MINUTE) == []


def test_aborted_events_count_nowhere_and_open_ones_hold_time_back(settings: Settings, tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    shutil.copytree(shop.DEFINITIONS, definitions, ignore=shutil.ignore_patterns("__pycache__"))
    for file in definitions.glob("*.py"):
        file.write_text(re.sub(r"\b(clicks|offers|user_clicks|shelf_clicks|buy)\b", r"open_\1", file.read_text()))
    own = replace(settings, definitions=definitions, schemas=shop.SCHEMAS, partitions=2, idle_timeout_ms=500, checkpoint_interval_ms=1_000)
    plan, kafka = load(definitions, shop.SCHEMAS), Connection.of(own)
    source, view = plan.sources["open_clicks"], plan.views["open_user_clicks"]
    elsewhere = plan.sources["open_offers"].topic
    admin.create(kafka, [source.topic, elsewhere], partitions=2, replication=1, config={"retention.ms": "-1"})
    run = Run(settings=own, plan=plan, streams={}, end_ms=0)

    def archived() -> int:
        folder = own.home / "archive" / source.name
        return sum(pq.read_metadata(file).num_rows for file in parquet_files(folder)) if folder.is_dir() else 0

    def counts() -> dict[str, int]:
        return {key[0]: record["count"] for (key, _), record in tile_records(run, view).items()}

    job = flink_submission.submit("jobs.features", [source.name], name="features-open", settings=own)
    try:
        for number, finish in ((5, Producer.abort_transaction), (2, Producer.commit_transaction)):
            with transaction(kafka, "decided") as producer:
                for at in range(number):
                    producer.produce(source.topic, click("ann", NOON + at), partition=0)
                assert producer.flush(PATIENCE_S) == 0  # also what is aborted has been written
                finish(producer)
        with transaction(kafka, "undecided") as undecided:
            began_ms = now_ms() - 45_000
            for at in range(3):
                undecided.produce(source.topic, click("bob", NOON + at), partition=1, timestamp=began_ms)
            undecided.produce(elsewhere, b"", partition=0, timestamp=began_ms)
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
            told = f"features-open: topic {source.topic}, partition 1: an open transaction holds back 3 records from offset 0 on; its first record is of {show_ms(began_ms)}, "
            assert [line[: len(told)] for line in waiting(own, "jobs")] == [told], "no job reads the other topic"
            assert [line[: len(told) + 4] for line in waiting(own, "status")] == [f"job {told}"]
            assert admin.extents(kafka, [source.topic])[source.topic][1] == (0, 0), "readers get no further"
            assert counts() == {}, "the undecided events would be late"
            undecided.commit_transaction()
            assert waiting(own, "jobs") == waiting(own, "status") == []
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
