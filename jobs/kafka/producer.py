"""Sends records to a source's topic, in the order of their event times, as fast as it goes or at a pace; every fault of delivery is raised.

The record timestamp is the event time, which is what watermarks are made from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException, Message

from inference.shards.shard_map import key_texts
from jobs.kafka.broker_fault import FOLLOWS, described, record_fault, telling
from jobs.kafka.connection import Connection
from schemas.conform import conform
from schemas.errors import DataError, ServiceError
from schemas.schema import Schema
from schemas.wire import Encoder, marker
from schemas.wording import span

CHUNK = 5_000
_DELIVER_WITHIN_S = 60.0
_ASK_S = 2.0


class Publisher:
    """An idempotent producer for one source's topic; use as a context manager.

    Every fault of delivery is raised by the next call, or at the latest by `flush`.
    """

    def __init__(
        self,
        kafka: Connection,
        topic: str,
        schema: Schema,
        *,
        event_time: str,
        key: Sequence[str] = (),
        deliver_within_s: float = _DELIVER_WITHIN_S,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            kafka: Its connection.
            topic: Where to; must be there.
            schema: What records are written as.
            event_time: The field whose value becomes the record timestamp.
            key: The fields that make up the Kafka key, as `inference.shards.shard_map.key_texts` writes it; none without them.
            deliver_within_s: How long a record may stay undelivered before it counts as failed.
        """
        self._kafka = kafka
        self._topic = topic
        self._schema = schema
        self._event_time = event_time
        self._key = tuple(key)
        self._encoder = Encoder(schema)
        self._sent = 0
        self._fault: tuple[KafkaError, str] | None = None
        self._deliver_within_s = deliver_within_s
        self._producer = kafka.producer(deliver_within_s=deliver_within_s, tells_delivered=False)

    def __enter__(self) -> Self:
        """Nothing to do: the producer connects by itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Deliver what is left, or drop it when something has failed."""
        if kind is None:
            self.flush()
        else:
            self._producer.purge()

    def publish(self, table: pa.Table, *, speed: float | None = None, progress: Callable[[int], None] | None = None) -> int:
        """Send all rows in event-time order; rows of one time in the table's order.

        Args:
            table: With the schema's columns; others are ignored.
            speed: Event time per wall time: 60 sends an hour in a minute. As fast as it goes when None.
            progress: Told after each chunk how many rows it had.

        Returns:
            How many records were sent; `flush` waits until they are delivered.

        Raises:
            DataError: The columns do not fit the schema, or a record is refused by the broker.
            ServiceError: The broker does not answer.
        """
        table = conform(table, self._schema, where="table")
        times = np.asarray(table[self._event_time].cast(pa.int64()))
        order = np.argsort(times, kind="stable")
        clock = _Clock(speed, int(times[order[0]])) if speed is not None and len(order) else None
        if not np.array_equal(order, np.arange(len(order))):
            table = table.take(order)
        for start in range(0, len(order), CHUNK):
            part = table.slice(start, CHUNK)
            columns = {name: _plain(part[name]) for name in part.column_names}
            moments: list[int] = columns[self._event_time]
            keys = key_texts(part, self._key).to_pylist() if self._key else [None] * len(part)
            for body, key, moment in zip(self._encoder.batch(columns), keys, moments, strict=True):
                while clock is not None and (early_s := clock.early_s(moment)) > 0:
                    self._producer.poll(min(early_s, 0.5))
                    self._check()
                self.send(body, timestamp_ms=moment, key=key)
            self._producer.poll(0)
            self._check()
            if progress is not None:
                progress(len(part))
        return len(order)

    def send(self, body: bytes | None, *, timestamp_ms: int, key: str | None = None, partition: int | None = None) -> None:
        """Send any bytes as they are.

        Args:
            body: The message's value; None is a tombstone.
            timestamp_ms: The record timestamp. Kafka has none before 1970-01-01T00:00:00.001Z; earlier ones become that.
            key: The Kafka key.
            partition: Where to; by the key when None.
        """
        place = {} if partition is None else {"partition": partition}
        told = partial(self._delivered, timestamp_ms)
        while True:
            try:
                self._producer.produce(self._topic, body, key, timestamp=max(timestamp_ms, 1), on_delivery=told, **place)  # type: ignore[arg-type]
            except BufferError:
                self._producer.poll(0.1)
                self._check()
            except KafkaException as error:
                raise self._refusal(error.args[0], described(key=key, timestamp_ms=timestamp_ms, size=len(body or b""))) from error
            else:
                self._sent += 1
                return

    def marker(self, event_time_ms: int, *, final: bool = False) -> int:
        """Send a marker to every partition: all up to this time has been published. Returns how many."""
        with telling(self._kafka, f"topic {self._topic}: its partitions are not told"):
            partitions = self._producer.list_topics(self._topic, timeout=self._deliver_within_s).topics[self._topic].partitions
        for partition in partitions:
            self.send(marker(event_time_ms, final), timestamp_ms=event_time_ms, partition=partition)
        return len(partitions)

    def flush(self) -> None:
        """Wait until everything sent is delivered.

        Raises:
            DataError: A record is refused by the broker.
            ServiceError: The broker does not answer.
        """
        while self._producer.flush(0.5):
            self._check()
        self._check()

    def _delivered(self, timestamp_ms: int, error: KafkaError | None, message: Message) -> None:
        """Told the time by us: of a record whose time the broker refuses, librdkafka tells none."""
        if error is not None and (self._fault is None or self._fault[0].code() in FOLLOWS):
            self._fault = error, described(key=message.key(), timestamp_ms=timestamp_ms, size=len(message.value() or b""))

    def _check(self) -> None:
        if self._fault is not None:
            self._producer.purge()
            raise self._refusal(*self._fault)

    def _refusal(self, error: KafkaError, record: str) -> DataError | ServiceError:
        what = f"records for topic {self._topic} were not delivered"
        if error.code() == KafkaError._MSG_TIMED_OUT:
            what += f" within {span(self._deliver_within_s * 1000)}"
            error = self._told_of_topic() or error
        return record_fault(error, self._kafka, self._topic, record, what)

    def _told_of_topic(self) -> KafkaError | None:
        """Why records may wait for ever, where the broker answers and says so: a delivery tells only that it was waited for."""
        try:
            found: KafkaError | None = self._producer.list_topics(self._topic, timeout=_ASK_S).topics[self._topic].error
        except KafkaException:
            return None
        return found


class _Clock:
    """Maps event time to the wall clock of a replay."""

    def __init__(self, speed: float, first_ms: int) -> None:
        self._speed = speed
        self._first_ms = first_ms
        self._started = time.monotonic()

    def early_s(self, moment_ms: int) -> float:
        """How long until a moment is due."""
        return self._started + (moment_ms - self._first_ms) / 1000 / self._speed - time.monotonic()


def _plain(column: pa.ChunkedArray[Any]) -> list[Any]:
    """Python values; timestamps in ms."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    if column.null_count and not pa.types.is_string(column.type):
        return column.to_pylist()  # numpy would make doubles of integers
    return list(column.to_numpy().tolist())  # ten times as fast; null strings are None there too
