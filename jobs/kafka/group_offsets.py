"""Where a consumer group goes on, told to Kafka before it does."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import TopicPartition

from jobs.kafka.broker_fault import telling
from jobs.kafka.connection import Connection

_ANSWER_S = 10.0


def commit(kafka: Connection, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Let a consumer group begin there: partition → offset. Raises ServiceError when Kafka does not answer."""
    places = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
    consumer = kafka.consumer(group)
    try:
        with telling(kafka, f"does not let group {group} begin with topic {topic}"):
            consumer.list_topics(topic, timeout=_ANSWER_S)
            consumer.commit(offsets=places, asynchronous=False)
    finally:
        consumer.close()
