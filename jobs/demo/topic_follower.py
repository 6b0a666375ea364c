"""A reader that follows topics along, and notes when each message was read."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from jobs.kafka import committed
from jobs.kafka.broker_fault import broker_fault
from schemas.errors import ServiceError

_PATIENCE_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Record:
    """A message as it was read.

    Attributes:
        topic: Where it was.
        value: Its bytes; None is a tombstone.
        headers: As text; a header that is not is replaced.
        read_ns: When, on this machine's monotonic clock.
    """

    topic: str
    value: bytes | None
    headers: dict[str, str]
    read_ns: int


@dataclass(kw_only=True)
class Follower:
    """Follows topics from their beginning in a thread of its own; use as a context manager.

    Attributes:
        servers: Kafka's bootstrap servers.
        topics: Which must be there.
        records: All that was read, in order of arrival; only ever appended to.
    """

    servers: str
    topics: Sequence[str]
    records: list[Record] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin to read."""
        self._end = threading.Event()
        self._fault: KafkaException | None = None
        self._consumer = _consumer(self.servers, self.topics)
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join(_PATIENCE_S)

    def check(self) -> None:
        """Raise ServiceError if the broker went away."""
        if self._fault is not None:
            raise broker_fault(self._fault, self.servers, f"reading {', '.join(self.topics)}")

    def _follow(self) -> None:
        try:
            while not self._end.is_set():
                for message in self._consumer.consume(500, timeout=0.02):
                    if message.error():
                        raise KafkaException(message.error())
                    self.records.append(_record(message))
        except KafkaException as fault:
            self._fault = fault
        finally:
            self._consumer.close()


def _consumer(servers: str, topics: Sequence[str]) -> Consumer:
    """A consumer of all partitions from their beginning."""
    consumer = committed.consumer(servers, f"tidemark-demo-{uuid.uuid4()}", {"fetch.wait.max.ms": 20, "fetch.error.backoff.ms": 50})
    try:
        known = consumer.list_topics(timeout=_PATIENCE_S).topics
        missing = [topic for topic in topics if topic not in known]
        if missing:
            raise ServiceError(f"kafka {servers}: there is no topic {', '.join(missing)}")
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for topic in topics for partition in known[topic].partitions])
    except KafkaException as fault:
        raise broker_fault(fault, servers, f"topics {', '.join(topics)} cannot be read") from fault
    return consumer


def _record(message: Message) -> Record:
    headers = {
        name: bytes(value).decode(errors="replace")
        for name, value in cast("list[tuple[str, bytes | None]]", message.headers() or [])
        if value is not None
    }
    return Record(topic=message.topic() or "", value=message.value(), headers=headers, read_ns=time.monotonic_ns())
