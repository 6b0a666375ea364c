"""A million requests answered exactly once, though the TaskManager is killed twice: who reads what is committed reads one prediction for each.

Some minutes long, so not a part of `make test`: `make million` runs it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from infra import flink, flink_submission, runtime
from infra.runtime import RuntimeState
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.producer import Publisher
from tests import shop
from tests.shop import NOON

pytestmark = [pytest.mark.e2e, pytest.mark.million, pytest.mark.timeout(3_600)]

BUY = shop.plan().services["buy"]
REQUESTS, PARTITIONS = 1_000_000, 2
KILLED_AT = (0.2, 0.45)
QUIET_S = 300.0


def test_a_million_requests_are_answered_exactly_once_whatever_is_killed(tmp_path: Path) -> None:
    environ = {"TIDEMARK_HOME": str(tmp_path / "home"), "TIDEMARK_CHECKPOINT_INTERVAL": "1s"}
    settings = replace(
        Settings.load(environ=environ, folder=tmp_path),
        definitions=shop.DEFINITIONS,
        schemas=shop.SCHEMAS,
        delivery="exactly_once",
        parallelism=PARTITIONS,
        partitions=PARTITIONS,
    )
    model = shop.train(tmp_path / "buy")
    with runtime.started(settings):
        admin.ensure(settings, shop.plan())
        publish(settings)
        job = flink_submission.submit("jobs.score", ["buy", "--model", str(model)], name="score-buy", settings=settings, fresh=True)
        cluster = flink.Cluster(settings.flink_url)
        answers = Answers(settings)
        try:
            for killed, share in enumerate(KILLED_AT):
                answers.wait_for(share * REQUESTS)
                kill_the_task_manager(settings)
                wait_until(lambda so_far=killed: cluster.job(job).restarts > so_far)  # type: ignore[misc]
            answers.wait_for(REQUESTS)
        finally:
            cluster.cancel(job)
        while answers.read():
            pass
        written = answers.written()
        answers.close()
    assert int(answers.of_each.sum()) == REQUESTS
    assert np.array_equal(answers.of_each, np.ones(REQUESTS))
    assert written > REQUESTS + 1_000, "no transaction was under way when a TaskManager was killed, so nothing was shown"
    print(
        f"{REQUESTS:,} requests, {int(answers.of_each.sum()):,} committed predictions, {written:,} records with those that never were committed"
    )


def publish(settings: Settings) -> None:
    """All requests, before the job begins."""
    schema = shop.schemas().current(BUY.request.schema)
    rows = pa.table(
        {
            "request_id": [f"r{number}" for number in range(REQUESTS)],
            "event_time": pa.array(np.full(REQUESTS, NOON)).cast(pa.timestamp("ms", tz="UTC")),
            "user": pa.array([f"user {number % 1_000}" for number in range(REQUESTS)]),
            "shop": pa.array(np.full(REQUESTS, 7)),
            "shelf": pa.repeat("top", REQUESTS),
            "price": pa.array(np.arange(REQUESTS) / 7),
            "colour": pa.repeat("red", REQUESTS),
        }
    )
    with Publisher(Connection.of(settings), BUY.request.topic, schema, event_time="event_time", key=["request_id"]) as publisher:
        publisher.publish(rows)


class Answers:
    """Reads what is committed, once; `of_each` counts it, int64[requests]."""

    def __init__(self, settings: Settings) -> None:
        self.of_each = np.zeros(REQUESTS, dtype=np.int64)
        self._consumer = Consumer(
            {"bootstrap.servers": settings.kafka_servers, "group.id": "committed", "isolation.level": "read_committed", "log_level": 0}
        )
        self._places = [TopicPartition(BUY.predictions_topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)]
        self._consumer.assign(self._places)

    def read(self) -> int:
        """The next of what has come; how many they are."""
        messages = self._consumer.consume(10_000, timeout=1.0)
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaException(error)
            self.of_each[int((message.key() or b"")[1:])] += 1
        return len(messages)

    def wait_for(self, count: float) -> None:
        grew = time.monotonic()
        while (self.of_each > 0).sum() < count:
            if self.read():
                grew = time.monotonic()
            assert time.monotonic() - grew < QUIET_S, f"{int((self.of_each > 0).sum()):,} answers, and no more come"

    def written(self) -> int:
        """Records of the topic, those of transactions that were aborted and Kafka's own marks among them."""
        return sum(self._consumer.get_watermark_offsets(place, timeout=30)[1] for place in self._places)

    def close(self) -> None:
        self._consumer.close()


def kill_the_task_manager(settings: Settings) -> None:
    """Without a warning; its supervisor replaces it."""
    state = RuntimeState.read(settings)
    assert state is not None
    os.kill(next(each.pid for each in state.services if each.name == "flink-taskmanager"), signal.SIGKILL)


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + QUIET_S
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.25)
