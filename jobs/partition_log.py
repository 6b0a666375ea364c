"""What the partitions of a topic hold, as the broker says: for `features.watermarks`, inside the workers of `jobs/features`."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not marked as exports

from jobs.broker_fault import broker_fault

_ANSWER_S = 5.0
_METADATA_S = 30.0  # how soon new partitions are found; Flink's own source looks every five minutes


class PartitionLog:
    """The extents of a topic's partitions, behind what a consumer group has committed."""

    def __init__(self, servers: str, topic: str, *, group: str) -> None:
        """Make the clients; nothing is asked yet."""
        self._servers = servers
        self._topic = topic
        self._admin = AdminClient({"bootstrap.servers": servers, "socket.timeout.ms": int(_ANSWER_S * 1000), "log_level": 0})
        self._consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "enable.auto.commit": False, "log_level": 0})
        self._first: dict[int, int] = {}
        self._asked_s = float("-inf")

    def extents(self) -> Mapping[int, tuple[int, int]]:
        """Partition → (offset of its first record that the group has not committed, offset that its next record will have).

        Raises:
            ServiceError: The broker does not answer, or has no such topic.
        """
        try:
            if time.monotonic() - self._asked_s >= _METADATA_S:
                found = self._admin.list_topics(self._topic, timeout=_ANSWER_S).topics[self._topic]
                if found.error is not None:
                    raise KafkaException(found.error)
                self._first = self._offsets(found.partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
                places = [TopicPartition(self._topic, partition) for partition in self._first]
                for place in self._consumer.committed(places, timeout=_ANSWER_S):
                    self._first[place.partition] = max(place.offset, self._first[place.partition])  # none committed is below 0
                self._asked_s = time.monotonic()
            ends = self._offsets(self._first, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        except KafkaException as fault:
            raise broker_fault(fault, self._servers, f"does not tell what topic {self._topic} holds") from fault
        return {partition: (first, ends[partition]) for partition, first in self._first.items()}

    def _offsets(self, partitions: Mapping[int, object], spec: OffsetSpec) -> dict[int, int]:
        asked = {TopicPartition(self._topic, partition): spec for partition in partitions}
        if not asked:
            return {}
        answers = self._admin.list_offsets(asked, request_timeout=_ANSWER_S)
        return {place.partition: int(answer.result().offset) for place, answer in answers.items()}
