"""The same scoring in a plain loop of confluent-kafka: `python in_loop.py MODEL REDIS SERVERS PREDICTIONS COUNT`; ends when it has answered so many."""

from __future__ import annotations

import sys
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

from benchmarks.benchmark import CORES
from benchmarks.scoring import inputs
from benchmarks.scoring.scorer import scorer

BATCH = 5_000


def main(model: Path, redis: str, servers: str, predictions: str, count: int) -> None:
    """Answer the requests of all partitions."""
    answering = scorer(model, redis)
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "loop"})
    consumer.assign([TopicPartition(inputs.service().request.topic, partition, OFFSET_BEGINNING) for partition in range(CORES)])
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    answered = 0
    while answered < count:
        messages = consumer.consume(BATCH, timeout=0.01)
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaException(error)
        answers = answering.answer([message.value() for message in messages])
        for key, value in zip(answers.ids, answers.values, strict=True):
            producer.produce(predictions, value, key=key)
        producer.poll(0)
        answered += answers.predictions
    producer.flush()
    consumer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
