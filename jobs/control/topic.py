"""The control topic: what is in force, one JSON record for each kind, kept when the store is thrown away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.deliveries import Deliveries
from schemas.errors import DataError

TOPIC = "tidemark.control"

_DELIVERED_S = 10.0
_COMPACTED = {"cleanup.policy": "compact"}


def records(settings: Settings) -> dict[str, Any]:
    """Kind → its newest record.

    Raises:
        DataError: A record is not JSON.
        ServiceError: Kafka does not answer.
    """
    _ensure(settings)
    found: dict[str, Any] = {}
    for message in messages(Connection.of(settings), TOPIC):
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
    deliveries = Deliveries(Connection.of(settings))
    for kind, record in given.items():
        deliveries.send(TOPIC, None if record is None else json.dumps(record, sort_keys=True).encode(), key=kind)
    deliveries.wait(f"topic {TOPIC} does not take a record", within_s=_DELIVERED_S)


def _ensure(settings: Settings) -> None:
    admin.create(Connection.of(settings), [TOPIC], partitions=1, replication=settings.replication, config=_COMPACTED)
