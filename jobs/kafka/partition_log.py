"""What the partitions of a topic hold, as the broker says: for `features.watermarks`, inside the workers of `jobs/features`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from confluent_kafka import KafkaException, TopicPartition

from features.watermarks import Extent
from jobs.kafka import committed
from jobs.kafka.broker_fault import broker_fault
from jobs.kafka.connection import Connection
from jobs.kafka.open_transactions import OpenTransactions
from jobs.kafka.record_search import RecordSearch
from schemas.errors import ServiceError

_ANSWER_S = 5.0
_METADATA_S = 30.0  # how soon new partitions are found; Flink's own source looks every five minutes


class PartitionLog:
    """The extents of a topic's partitions, behind what a consumer group has committed."""

    def __init__(self, kafka: Connection, topic: str, *, group: str) -> None:
        """Make the clients; nothing is asked yet."""
        self._kafka = kafka
        self._topic = topic
        self._admin = kafka.admin(_ANSWER_S)
        self._consumer = kafka.consumer(group)
        self._first: dict[int, int] = {}
        self._asked_s = float("-inf")
        self._open = OpenTransactions(topic)
        self._search = RecordSearch(kafka, topic, group=group)
        self._log = logging.getLogger("tidemark")

    @property
    def undecided(self) -> int:
        """Partitions that an open transaction holds back, when last asked."""
        return len(self._open)

    def extents(self) -> Mapping[int, Extent]:
        """Partition → what it holds, from its first record that the group has not committed.

        Raises:
            ServiceError: The broker does not answer, or has no such topic.
        """
        try:
            if time.monotonic() - self._asked_s >= _METADATA_S:
                found = self._admin.list_topics(self._topic, timeout=_ANSWER_S).topics[self._topic]
                if found.error is not None:
                    raise KafkaException(found.error)
                places = [(self._topic, partition) for partition in found.partitions]
                firsts = committed.firsts(self._admin, places, timeout_s=_ANSWER_S)
                self._first = {partition: first for (_, partition), first in firsts.items()}
                for place in self._consumer.committed([TopicPartition(*place) for place in places], timeout=_ANSWER_S):
                    self._first[place.partition] = max(place.offset, self._first[place.partition])  # none committed is below 0
                self._asked_s = time.monotonic()
            ends = committed.ends(self._admin, [(self._topic, partition) for partition in self._first], timeout_s=_ANSWER_S)
        except KafkaException as fault:
            raise self._fault(fault) from fault
        for line in self._open.see({partition: end for (_, partition), end in ends.items()}, time.monotonic()):
            self._log.warning("%s", line)
        return {partition: Extent(first=self._first[partition], decided=end.decided, end=end.head) for (_, partition), end in ends.items()}

    def first_records(self, spans: Mapping[int, tuple[int, int]]) -> Mapping[int, int]:
        """As `features.watermarks.Log`; where Kafka does not answer, nothing is known, and the log tells it after a while.

        Raises:
            ServiceError: The broker refuses to let the topic be read.
        """
        try:
            found = self._search.answers(spans, time.monotonic())
        except KafkaException as fault:
            raise self._fault(fault) from fault
        for line in self._search.overdue(time.monotonic()):
            self._log.warning("%s", line)
        return found

    def _fault(self, fault: KafkaException) -> ServiceError:
        return broker_fault(fault, self._kafka, f"does not tell what topic {self._topic} holds")
