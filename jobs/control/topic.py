"""The control topic: what is in force, one JSON record for each kind, kept when the store is thrown away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.broker_fault import broker_fault, silent
from jobs.kafka.consumer import messages
from schemas.errors import DataError

TOPIC = "tidemark.control"

_DELIVERED_S = 10.0
_COMPACTED = {"cleanup.policy": "compact"}
_NOT_TAKEN = f"topic {TOPIC} does not take a record"


def records(settings: Settings) -> dict[str, Any]:
    """Kind → its newest record.

    Raises:
        DataError: A record is not JSON.
        ServiceError: Kafka does not answer.
    """
    _ensure(settings)
    found: dict[str, Any] = {}
    for message in messages(settings.kafka_servers, TOPIC):
        key, body = message.key(), message.value()
        kind = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
        if body is None:
            found.pop(kind, None)
        else:
            try:
                found[kind] = json.loads(body)
            except ValueError as fault:
                place = f"{message.partition()}/{message.offset()}"
                raise DataError(
                    f"topic {TOPIC} {place}: the record of {kind} is not JSON: {fault}; nothing but Tidemark writes there"
                ) from fault
    return found


def publish(settings: Settings, given: Mapping[str, Any]) -> None:
    """Put records in force, or out of it where they are None; when this returns, the broker has them.

    Raises:
        ServiceError: Kafka does not answer.
    """
    _ensure(settings)
    producer = Producer({"bootstrap.servers": settings.kafka_servers, "enable.idempotence": True, "log_level": 0})
    faults: list[KafkaError] = []
    try:
        for kind, record in given.items():
            body = None if record is None else json.dumps(record, sort_keys=True)
            producer.produce(TOPIC, body, kind, on_delivery=lambda error, _: faults.append(error) if error else None)
        left = producer.flush(_DELIVERED_S)
    except KafkaException as fault:
        raise broker_fault(fault, settings.kafka_servers, _NOT_TAKEN) from fault
    if faults:
        raise broker_fault(faults[0], settings.kafka_servers, _NOT_TAKEN)
    if left:
        raise silent(settings.kafka_servers, _NOT_TAKEN, _DELIVERED_S)


def _ensure(settings: Settings) -> None:
    admin.create(settings.kafka_servers, [TOPIC], partitions=1, replication=settings.replication, config=_COMPACTED)
