"""Some offsets of a partition, read once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from jobs.kafka.connection import Connection
from jobs.kafka.reader import Reader
from schemas.errors import ServiceError

_BATCH_RECORDS, _BATCH_BYTES = 10_000, 32 << 20
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The offsets `[first, end)` of one partition of a source's topic."""

    source: str
    topic: str
    partition: int
    first: int
    end: int


def bodies_of(kafka: Connection, piece: Slice) -> Iterator[list[bytes | None]]:
    """The values of a slice's messages, committed ones only, in order; a batch at a time.

    Raises:
        ServiceError: The broker does not answer, or the offsets are no longer there.
    """
    place, where = (piece.topic, piece.partition), f"topic {piece.topic}, partition {piece.partition}"
    held: list[bytes | None] = []
    size, position = 0, piece.first
    with Reader(kafka, kafka.consumer(f"tidemark-backfill-{uuid4()}", lost="error", tells_ends=True)) as reader:
        reader.assign({place: piece.first})
        while position < piece.end:
            polled = reader.poll_or_tell(1_000, timeout_s=_POLL_S, what=f"{where} cannot be read from offset {position} to {piece.end}")
            # Offsets have gaps, by compaction and transactions: the end is reached where something lies at it or beyond.
            for message in polled.messages:
                offset = message.offset() or 0
                position = max(position, offset + 1)
                if offset < piece.end:
                    body = message.value()
                    held.append(body)
                    size += len(body or b"")
            if (reached := polled.ends.get(place)) is not None:
                position = max(position, reached)
                if position < piece.end:
                    raise ServiceError(
                        f"kafka {kafka.servers}: {where} ends at offset {reached} and went to {piece.end} when the backfill began"
                    )
            if held and (len(held) >= _BATCH_RECORDS or size >= _BATCH_BYTES or position >= piece.end):
                yield held
                held, size = [], 0
