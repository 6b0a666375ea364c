"""A reader that follows topics along, and notes when each message was read."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, cast
from uuid import uuid4

from jobs.kafka import admin
from jobs.kafka.connection import FETCH_AT_ONCE, Connection
from jobs.kafka.reader import BEGINNING, Message, Reader
from schemas.errors import ServiceError

_PATIENCE_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Record:
    """A message as it was read.

    Attributes:
        topic: Where it was.
        value: Its bytes; None is a tombstone.
        headers: As text; a header that is not is replaced.
        read_ns: When, on this machine's monotonic clock.
    """

    topic: str
    value: bytes | None
    headers: dict[str, str]
    read_ns: int


@dataclass(kw_only=True)
class Follower:
    """Follows topics from their beginning in a thread of its own; use as a context manager.

    Attributes:
        kafka: Its connection.
        topics: Which must be there.
        records: All that was read, in order of arrival; only ever appended to.
    """

    kafka: Connection
    topics: Sequence[str]
    records: list[Record] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin to read."""
        self._end = threading.Event()
        self._fault: ServiceError | None = None
        self._reader = _reader(self.kafka, self.topics)
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join(_PATIENCE_S)

    def check(self) -> None:
        """Raise ServiceError if the broker went away."""
        if self._fault is not None:
            raise self._fault

    def _follow(self) -> None:
        try:
            while not self._end.is_set():
                polled = self._reader.poll_or_tell(500, timeout_s=0.02, what=f"topics {', '.join(self.topics)} cannot be read", waits=False)
                self.records += map(_record, polled.messages)
        except ServiceError as fault:
            self._fault = fault
        finally:
            self._reader.close()


def _reader(kafka: Connection, topics: Sequence[str]) -> Reader:
    """Of all partitions, from their beginning."""
    places = [(topic, partition) for topic, partitions in admin.extents(kafka, topics).items() for partition in partitions]
    reader = Reader(kafka, kafka.consumer(f"tidemark-demo-{uuid4()}", fetch=FETCH_AT_ONCE))
    reader.assign(dict.fromkeys(places, BEGINNING))
    return reader


def _record(message: Message) -> Record:
    headers = {
        name: bytes(value).decode(errors="replace")
        for name, value in cast("list[tuple[str, bytes | None]]", message.headers() or [])
        if value is not None
    }
    return Record(topic=message.topic() or "", value=message.value(), headers=headers, read_ns=time.monotonic_ns())
