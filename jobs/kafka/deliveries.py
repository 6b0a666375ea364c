"""A few records of any topics, of which it is waited until the broker has them."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError, Message

from jobs.kafka.broker_fault import broker_fault, silent, telling
from jobs.kafka.connection import Connection


class Deliveries:
    """Sends records as they are, at once; `wait` raises every fault of their delivery."""

    def __init__(self, kafka: Connection) -> None:
        """Make the producer; nothing is sent yet."""
        self._kafka = kafka
        self._producer = kafka.producer(linger_ms=0)
        self._faults: list[KafkaError] = []

    def send(
        self,
        topic: str,
        body: bytes | None,
        *,
        key: str | None = None,
        timestamp_ms: int = 0,
        delivered: Callable[[int, int], None] | None = None,
    ) -> None:
        """Send one.

        Args:
            topic: Where to.
            body: Its value; None is a tombstone.
            key: Its key.
            timestamp_ms: Its time; now when 0.
            delivered: Told its partition and offset, while it is waited for.

        Raises:
            ServiceError: It cannot be sent at all.
        """

        def told(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._faults.append(error)
            elif delivered is not None:
                delivered(message.partition() or 0, message.offset() or 0)

        with telling(self._kafka, f"topic {topic} does not take a record"):
            self._producer.produce(topic, body, key, timestamp=timestamp_ms, on_delivery=told)

    def wait(self, what: str, *, within_s: float) -> None:
        """Return when the broker has all of them.

        Args:
            what: What did not come to be, for the message.
            within_s: How long it may take.

        Raises:
            ServiceError: One was not delivered.
        """
        left = self._producer.flush(within_s)
        if self._faults:
            raise broker_fault(self._faults[0], self._kafka, what)
        if left:
            raise silent(self._kafka, what, within_s)
