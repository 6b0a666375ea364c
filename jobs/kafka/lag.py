"""What a consumer group has yet to read of topics, up to the ends that they had at a moment."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from jobs.kafka import committed
from jobs.kafka.broker_fault import broker_fault
from jobs.kafka.connection import Connection
from schemas.errors import ServiceError

_ANSWER_S = 10.0


class Lag:
    """Records of topics that were there when this was made, against what a group has committed since."""

    def __init__(self, kafka: Connection, topics: Sequence[str], group: str) -> None:
        """Note where every partition begins and ends now.

        Raises:
            ServiceError: Kafka does not answer, or a topic is missing.
        """
        self._kafka = kafka
        self._group = group
        self._admin = kafka.admin(_ANSWER_S)
        try:
            known = self._admin.list_topics(timeout=_ANSWER_S).topics
            places = [(topic, partition) for topic in topics for partition in known[topic].partitions]
            self._first = committed.firsts(self._admin, places, timeout_s=_ANSWER_S)
            self._ends = {place: end.decided for place, end in committed.ends(self._admin, places, timeout_s=_ANSWER_S).items()}
        except KeyError as fault:
            raise ServiceError(f"kafka {kafka.servers}: has no topic {fault.args[0]}; see `tidemark jobs`") from fault
        except KafkaException as fault:
            raise self._fault(fault) from fault

    @property
    def total(self) -> int:
        """How many records there were."""
        return sum(end - self._first[place] for place, end in self._ends.items())

    @property
    def truncated(self) -> list[str]:
        """Topics that have lost their beginning."""
        return sorted({topic for (topic, _), first in self._first.items() if first > 0})

    def left(self) -> int:
        """How many of them the group has not committed.

        Raises:
            ServiceError: Kafka does not answer.
        """
        # A client for each question: one that lives goes on asking for the group's coordinator, and says so on stderr when Kafka ends.
        consumer = self._kafka.consumer(self._group)
        try:
            told = consumer.committed([TopicPartition(*place) for place in self._ends], timeout=_ANSWER_S)
        except KafkaException as fault:
            raise self._fault(fault) from fault
        finally:
            consumer.close()
        left = 0
        for place in told:
            key = (place.topic, place.partition)
            left += max(self._ends[key] - max(place.offset, self._first[key]), 0)  # none committed is below 0
        return left

    def forget(self) -> None:
        """Forget what the group has committed, for it begins anew.

        Raises:
            ServiceError: Kafka does not answer, or the group is in use.
        """
        try:
            self._admin.delete_consumer_groups([self._group], request_timeout=_ANSWER_S)[self._group].result()
        except KafkaException as fault:
            if fault.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise self._fault(fault) from fault

    def _fault(self, fault: KafkaException) -> ServiceError:
        return broker_fault(fault, self._kafka, f"does not tell what group {self._group} has read")
