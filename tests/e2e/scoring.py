"""What tests of the score job share: jobs, messages, predictions, and what Flink tells of its workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import psutil
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from infra import flink, flink_submission
from infra.runtime import RuntimeState
from infra.settings import Settings
from jobs.kafka import consumer
from jobs.kafka.connection import Connection
from tests import shop
from tests.waiting import PATIENCE_S, eventually

BUY = shop.plan().services["buy"]
REQUESTS, PREDICTIONS = BUY.request.topic, BUY.predictions_topic


@contextmanager
def job(settings: Settings, module: str, *arguments: str, name: str) -> Iterator[str]:
    """A job on the cluster, without an earlier run's state, for as long as the block."""
    job_id = flink_submission.submit(module, arguments, name=name, settings=settings, fresh=True)
    try:
        yield job_id
    finally:
        flink.Cluster(settings.flink_url).cancel(job_id)


_producers: dict[str, Producer] = {}


def produce(settings: Settings, topic: str, bodies: Sequence[bytes | None], *, key: str | None = None, flush: bool = True) -> None:
    servers = settings.kafka_servers
    producer = _producers.setdefault(
        servers,
        Producer({"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 0, "message.max.bytes": 8 << 20, "log_level": 0}),
    )
    for body in bodies:
        producer.produce(topic, body, key=key)
        producer.poll(0)
    if flush:
        assert producer.flush(PATIENCE_S) == 0


def messages(settings: Settings, topic: str) -> list[Message]:
    """Every committed message of a topic that there is now."""
    return list(consumer.messages(Connection.of(settings), topic))


def wait_for_messages(settings: Settings, topic: str, count: int, wanted: Callable[[Message], bool] = lambda _: True) -> list[Message]:
    """The wanted messages of a topic, once there are as many."""
    found: list[Message] = []

    def enough() -> bool:
        found[:] = filter(wanted, messages(settings, topic))
        return len(found) >= count

    eventually(lambda: f"{topic} has {len(found)} of {count} messages", enough)
    return found


def commit_all_there_is(settings: Settings) -> None:
    """So that the next score job begins with the requests of its own test."""
    consumer = Consumer({"bootstrap.servers": settings.kafka_servers, "group.id": "tidemark.score-buy", "log_level": 0})
    try:
        partitions = [
            TopicPartition(REQUESTS, number) for number in consumer.list_topics(REQUESTS, timeout=PATIENCE_S).topics[REQUESTS].partitions
        ]
        ends = [consumer.get_watermark_offsets(partition, timeout=PATIENCE_S)[1] for partition in partitions]
        for partition, end in zip(partitions, ends, strict=True):
            partition.offset = end
        consumer.commit(offsets=partitions, asynchronous=False)
    finally:
        consumer.close()


def counters(settings: Settings, job_id: str, name: str) -> dict[str, int]:
    """Subtask → the value of a function's counter; Flink tells it some seconds later."""
    found: dict[str, int] = {}
    vertices = ask(settings, f"/jobs/{job_id}")["vertices"]
    for vertex in vertices:
        path = f"/jobs/{job_id}/vertices/{vertex['id']}/metrics"
        ids = [metric["id"] for metric in ask(settings, path) if metric["id"].endswith(f".{name}")]
        if ids:
            found |= {metric["id"]: int(metric["value"]) for metric in ask(settings, f"{path}?get={','.join(map(quote, ids))}")}
    return found


def python_workers(settings: Settings) -> set[int]:
    """The process ids of the TaskManager's Python workers."""
    manager = process_of(settings, "flink-taskmanager")
    return {child.pid for child in manager.children(recursive=True) if "pyflink.fn_execution.beam.beam_boot" in " ".join(child.cmdline())}


def ask(settings: Settings, path: str) -> Any:
    with urlopen(f"{settings.flink_url}{path}", timeout=PATIENCE_S) as answer:
        return json.load(answer)


def message_at(settings: Settings, topic: str, partition: int, offset: int) -> Message:
    return next(message for message in messages(settings, topic) if (message.partition(), message.offset()) == (partition, offset))


def predictions(found: Sequence[Message]) -> list[dict[str, Any]]:
    rows = [shop.prediction(message.value() or b"") for message in found]
    assert [row["request_id"].encode() for row in rows] == [message.key() for message in found]
    return rows


def code(message: Message) -> str:
    return headers_of(message)["reason"].split(":")[0]


def headers_of(message: Message) -> dict[str, str]:
    pairs = [pair for pair in message.headers() or () if isinstance(pair, tuple)]
    return {name: value.decode() for name, value in pairs if isinstance(value, bytes)}


def kill(settings: Settings, service: str) -> None:
    """End one of the runtime's processes without a warning; its supervisor replaces it."""
    process_of(settings, service).kill()


@contextmanager
def suspended(settings: Settings, service: str) -> Iterator[None]:
    """Let one of the runtime's processes, and all that it has started, do nothing in the block."""
    first = process_of(settings, service)
    held = [first, *first.children(recursive=True)]
    try:
        for process in held:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in held:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def process_of(settings: Settings, service: str) -> psutil.Process:
    """The one of the runtime's processes that is this service."""
    state = RuntimeState.read(settings)
    assert state is not None
    return psutil.Process(next(each.pid for each in state.services if each.name == service))
