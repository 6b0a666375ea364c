"""The one loop of our consumers: some partitions, read on from where they were assigned; what comes, where they end, silence and faults."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from jobs.kafka.broker_fault import broker_fault, silent
from jobs.kafka.committed import Place
from jobs.kafka.connection import Connection

Message = confluent_kafka.Message
"""A record as a consumer gives it, with its topic, partition, offset, times and headers."""

BEGINNING, END = OFFSET_BEGINNING, OFFSET_END
"""Offsets of the oldest record of a partition, and of the next that it will have."""

_SILENCE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Polled:
    """What has come.

    Attributes:
        messages: In order within each partition.
        ends: Where the end of a partition was reached, with that offset: up to there nothing is unread.
    """

    messages: Sequence[Message]
    ends: Mapping[Place, int]


class Reader:
    """Reads partitions; use as a context manager, or `close` it."""

    def __init__(self, kafka: Connection, consumer: Consumer, *, passes_over: frozenset[int] = frozenset()) -> None:
        """Take a consumer, which is closed with it.

        Args:
            kafka: Whose it is.
            consumer: One that tells ends, where they are asked for.
            passes_over: Codes of faults after which the client goes on trying, and nothing is said.
        """
        self.consumer = consumer
        self._kafka = kafka
        self._passes_over = passes_over
        self._silent_s = 0.0  # how long it was waited for something, in vain

    def __enter__(self) -> Self:
        """Nothing to do: the consumer connects by itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the consumer."""
        self.close()

    def close(self) -> None:
        """Close the consumer."""
        self.consumer.close()

    def assign(self, places: Mapping[Place, int]) -> None:
        """Read these partitions too, each from an offset."""
        self.consumer.incremental_assign([TopicPartition(*place, offset) for place, offset in places.items()])
        self._silent_s = 0.0

    def unassign(self, places: Iterable[Place]) -> None:
        """Read these partitions no more. What was fetched of them may come all the same."""
        self.consumer.incremental_unassign([TopicPartition(*place) for place in places])

    def poll(self, most: int, *, timeout_s: float) -> Polled:
        """What has come, of at most so many; waits for as long at most.

        Raises:
            KafkaException: The broker refuses.
        """
        messages, ends, since_s = [], {}, time.monotonic()
        came = self.consumer.consume(most, timeout=timeout_s)
        self._silent_s = 0.0 if came else self._silent_s + time.monotonic() - since_s
        for message in came:
            error = message.error()
            if error is None:
                messages.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[message.topic() or "", message.partition() or 0] = message.offset() or 0
            elif error.code() not in self._passes_over:
                raise KafkaException(error)
        return Polled(messages=messages, ends=ends)

    def poll_or_tell(self, most: int, *, timeout_s: float, what: str, waits: bool = True) -> Polled:
        """The same for whoever knows that there is something.

        Args:
            most: So many at most.
            timeout_s: Waits for as long at most.
            what: What did not come to be, for the message.
            waits: Whether it is a fault that for 30 s nothing has come.

        Raises:
            ServiceError: The broker refuses, or says nothing.
        """
        try:
            polled = self.poll(most, timeout_s=timeout_s)
        except KafkaException as fault:
            raise broker_fault(fault, self._kafka, what) from fault
        if waits and self._silent_s > _SILENCE_S:
            raise silent(self._kafka, what, _SILENCE_S)
        return polled
