"""Some offsets of a partition, read once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from confluent_kafka import KafkaError, TopicPartition

from jobs.kafka import committed
from jobs.kafka.broker_fault import broker_fault, silent
from schemas.errors import ServiceError

_BATCH_RECORDS, _BATCH_BYTES = 10_000, 32 << 20
_POLL_S = 0.2
_SILENCE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The offsets `[first, end)` of one partition of a source's topic."""

    source: str
    topic: str
    partition: int
    first: int
    end: int


def bodies_of(servers: str, piece: Slice) -> Iterator[list[bytes | None]]:
    """The values of a slice's messages, committed ones only, in order; a batch at a time.

    Raises:
        ServiceError: The broker does not answer, or the offsets are no longer there.
    """
    where = f"topic {piece.topic}, partition {piece.partition}"
    consumer = committed.consumer(servers, f"tidemark-backfill-{uuid4()}", {"enable.partition.eof": True, "auto.offset.reset": "error"})
    held: list[bytes | None] = []
    size, heard, position = 0, time.monotonic(), piece.first
    try:
        consumer.assign([TopicPartition(piece.topic, piece.partition, piece.first)])
        while position < piece.end:
            for message in consumer.consume(1_000, timeout=_POLL_S):
                heard, offset, error = time.monotonic(), message.offset() or 0, message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise broker_fault(error, servers, f"{where} cannot be read from offset {position} to {piece.end}")
                # Offsets have gaps, by compaction and transactions: the end is reached where something lies at it or beyond.
                position = max(position, offset if error is not None else offset + 1)
                if error is None and offset < piece.end:
                    body = message.value()
                    held.append(body)
                    size += len(body or b"")
                elif error is not None and offset < piece.end:
                    raise ServiceError(f"kafka {servers}: {where} ends at offset {offset} and went to {piece.end} when the backfill began")
                if position >= piece.end:
                    break
            if time.monotonic() - heard > _SILENCE_S:
                raise silent(servers, f"{where} cannot be read from offset {position} to {piece.end}", _SILENCE_S)
            if held and (len(held) >= _BATCH_RECORDS or size >= _BATCH_BYTES or position >= piece.end):
                yield held
                held, size = [], 0
    finally:
        consumer.close()
