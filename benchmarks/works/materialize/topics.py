"""The records of `stream.parquet` in the topics of the job, as the features job writes them."""

from __future__ import annotations

import pyarrow as pa
from confluent_kafka import Producer

from benchmarks import services
from benchmarks.online import inputs
from benchmarks.processes import CommandError
from infra.settings import Settings
from jobs.kafka import admin


def publish(settings: Settings, records: pa.Table) -> None:
    """Make the topics anew, with these records: tiles keyed by their entity, closings by their view."""
    services.remove(settings, lambda topic: not topic.startswith("__"))
    admin.ensure(settings, inputs.plan())
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_servers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 0,
        }
    )
    for topic, key, body in zip(*(records[name].to_pylist() for name in ("topic", "key", "body")), strict=True):
        producer.produce(topic, body, key=key)
    if producer.flush(60):
        raise CommandError("records that could not be delivered")
