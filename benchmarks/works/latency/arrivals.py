"""Predictions as a consumer gets them: when each came, and of some the whole record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from numpy.typing import NDArray

from benchmarks.benchmark import CORES, Figures
from benchmarks.processes import CommandError
from benchmarks.scoring import check

LEGS = ("to_scored", "scored_to_kafka", "kafka_to_consumer")
"""From when a request is due to when its batch is scored; to when Flink's producer has the prediction; to when the consumer has it."""
_PATIENCE_S = 60.0


@dataclass(kw_only=True)
class Arrivals:
    """What has come so far; filled by a thread.

    Attributes:
        at: Number of the request → when its first prediction came, seconds since the epoch.
        wanted: Of which requests the record is kept.
        kept: Number → its body, and when its producer had it, ms since the epoch.
    """

    at: dict[int, float] = field(default_factory=dict)
    wanted: range = range(0)
    kept: dict[int, tuple[bytes, int]] = field(default_factory=dict)

    def take(self, number: int, now: float, body: bytes, written_ms: int) -> None:
        """One that has come."""
        if number not in self.at:
            self.at[number] = now
            if number in self.wanted:
                self.kept[number] = (body, written_ms)

    def waited(self, first: int, count: int) -> NDArray[np.float64]:
        """When each of some requests had its answer, seconds since the epoch, float64[count]; waits for them.

        Raises:
            CommandError: Some have none.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while missing := sum(number not in self.at for number in range(first, first + count)):
            if time.monotonic() > deadline:
                raise CommandError(f"{missing:,} of {count:,} requests have no prediction")
            time.sleep(0.1)
        return np.array([self.at[number] for number in range(first, first + count)])

    def bodies(self) -> Sequence[bytes]:
        """Of those that were wanted, in order."""
        return [self.kept[number][0] for number in self.wanted]

    def legs(self, due: NDArray[np.float64]) -> Figures:
        """How long each leg of the wanted requests' way took.

        Args:
            due: float64[wanted], when each was, seconds since the epoch.
        """
        scored = np.array([record["scored_at"].timestamp() for record in check.decoded(self.bodies())])
        written = np.array([self.kept[number][1] / 1000 for number in self.wanted])
        came = np.array([self.at[number] for number in self.wanted])
        took = zip(LEGS, (scored - due, written - scored, came - written), strict=True)
        return {f"{leg}_p{rank}_seconds": float(np.quantile(each, rank / 100)) for leg, each in took for rank in (50, 99)}


@contextmanager
def reading(servers: str, topic: str) -> Iterator[Arrivals]:
    """A consumer of a topic of predictions, for as long as the block."""
    arrivals, ended = Arrivals(), Event()

    def read() -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "latency",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 5,
                "log_level": 0,
            }
        )
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(CORES)])
        while not ended.is_set():
            messages = consumer.consume(1_000, timeout=0.005)
            now = time.time()
            for message in messages:
                if message.error() is None:
                    arrivals.take(int((message.key() or b"")[1:]), now, message.value() or b"", message.timestamp()[1])
        consumer.close()

    reader = Thread(target=read)
    reader.start()
    try:
        yield arrivals
    finally:
        ended.set()
        reader.join()
