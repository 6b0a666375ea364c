"""Payments from a seed, in a Kafka topic and as the tiles that must come of them; the topic is kept between runs."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import services
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.producer import Publisher
from schemas.errors import ServiceError
from schemas.schema import SchemaSet
from schemas.wire import Encoder

SCHEMAS = Path(__file__).parent / "schemas"
TOPIC, PARTITIONS = "payments", 2
TILES = "tiles"
"""Where peers write; Tidemark has a topic for each view."""
CARDS, EVENTS_PER_MINUTE = 4_000, 4_000
DISORDER_MS = 4_000
"""How much later than its time an event is published, at most; every contender waits for 5 s."""
MINUTE_MS = 60_000
START_MS = 1_735_689_600_000
"""2025-01-01."""
END = "end"
"""The last event of each partition, ten minutes after the others, is of a card that begins so: it closes all tiles but its own, which nobody has to write."""
FIRST = "first"
"""So begin the cards of events that come before all others where `Payments.first` says how many, in a minute of their own."""
NO_EVENT = b"no event"
"""A record in each partition behind those: among the dead letters it tells that they were read."""

_SEED = 13
_CHUNK = 5_000
_BROKER_STARTS_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Payments:
    """A topic of them.

    Attributes:
        topic: Its name.
        count: How many, besides the last of each partition.
        cards: How many different ones, each as frequent as the others.
        per_minute: How many events are of the same minute, on average.
        start_ms: Where event time begins.
        first: How many more come before them, with a record that is no event, for a job to be warm.
    """

    topic: str = TOPIC
    count: int
    cards: int = CARDS
    per_minute: float = EVENTS_PER_MINUTE
    start_ms: int = START_MS
    first: int = 0

    @property
    def records(self) -> int:
        """All that the topic holds."""
        return self.count + PARTITIONS + (self.first + PARTITIONS if self.first else 0)


def ensure(settings: Settings, truth: Path, payments: Payments) -> None:
    """Publish the events and write the tiles that must come of them, unless that is done.

    Args:
        settings: Of the broker, and where the schema is.
        truth: A Parquet file of tiles: `card`, `start_ms`, `count`, `sum`, `max`.
        payments: Which.
    """
    if truth.exists() and _published(settings, payments.topic) == payments.records:
        return
    truth.unlink(missing_ok=True)
    services.remove(settings, lambda topic: topic == payments.topic)
    admin.create(Connection.of(settings), [payments.topic], partitions=PARTITIONS, replication=1, config={"retention.ms": "-1"})
    rng = np.random.default_rng(_SEED)
    made = events(payments, rng)
    time_ms = np.asarray(made["event_time"])
    published = np.argsort(time_ms + rng.integers(0, DISORDER_MS, payments.count), kind="stable")
    _publish(settings, payments, made.take(published), end_ms=payments.start_ms + (_minutes(payments) + 10) * MINUTE_MS)
    truth.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(tiles_of(made), truth)


def events(payments: Payments, rng: np.random.Generator | None = None) -> pa.Table:
    """Them, in the order of their times."""
    rng = np.random.default_rng(_SEED) if rng is None else rng
    time_ms = np.sort(rng.integers(0, _minutes(payments) * MINUTE_MS, payments.count)) + payments.start_ms
    card = np.array([f"card-{number:04}" for number in range(payments.cards)])[rng.integers(0, payments.cards, payments.count)]
    amount = np.round(rng.lognormal(4.0, 1.5, payments.count), 2)
    return pa.table({"payment_id": np.arange(payments.count).astype(str), "event_time": time_ms, "card": card, "amount": amount})


def tiles_of(events: pa.Table, *, above: float | None = None) -> pa.Table:
    """The tiles of all events, in which only amounts above a bar are counted, added and compared: sum and maximum of none are null."""
    start_ms = np.asarray(events["event_time"]) // MINUTE_MS * MINUTE_MS
    amount = np.asarray(events["amount"])
    left_out = None if above is None else amount <= above
    counted = pa.table({"card": events["card"], "start_ms": start_ms, "amount": pa.array(amount, mask=left_out)})
    tiles = counted.group_by(["card", "start_ms"]).aggregate([("amount", "count"), ("amount", "sum"), ("amount", "max")])
    return tiles.rename_columns(["card", "start_ms", "count", "sum", "max"]).sort_by([("card", "ascending"), ("start_ms", "ascending")])


def _minutes(payments: Payments) -> int:
    return max(1, math.floor(payments.count / payments.per_minute + 1e-6))  # a span of years is many minutes for an event


def _published(settings: Settings, topic: str) -> int:
    """How many records the topic has; 0 where there is none. A broker that has only just started may refuse to tell, for a moment."""
    if topic not in services.topics_there(settings):
        return 0
    deadline = time.monotonic() + _BROKER_STARTS_S
    while True:
        try:
            extents = admin.extents(Connection.of(settings), [topic])[topic]
        except ServiceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return sum(end - first for first, end in extents.values())


def _first(count: int) -> pa.Table:
    """Events of the minute that ends an hour before the others, of a thousand cards."""
    time_ms = START_MS - 61 * MINUTE_MS + np.arange(count) * MINUTE_MS // count
    card = np.array([f"{FIRST}-{number:03}" for number in range(1_000)])[np.arange(count) % 1_000]
    named = np.char.add(f"{FIRST}-", np.arange(count).astype(str))
    return pa.table({"payment_id": named, "event_time": time_ms, "card": card, "amount": np.ones(count)})


def _publish(settings: Settings, payments: Payments, events: pa.Table, *, end_ms: int) -> None:
    """As `tidemark publish` writes them, but not in the order of their times."""
    schema = SchemaSet.load(settings.schemas).current("payment")
    encoder = Encoder(schema)

    def send(table: pa.Table) -> None:
        for start in range(0, len(table), _CHUNK):
            columns = table.slice(start, _CHUNK).to_pydict()
            for body, moment, card in zip(encoder.batch(columns), columns["event_time"], columns["card"], strict=True):
                publisher.send(body, timestamp_ms=moment, key=card)

    with Publisher(Connection.of(settings), payments.topic, schema, event_time="event_time") as publisher:
        if payments.first:
            send(_first(payments.first))
            for partition in range(PARTITIONS):
                publisher.send(NO_EVENT, timestamp_ms=START_MS - 60 * MINUTE_MS, key=FIRST, partition=partition)
        send(events)
        for partition in range(PARTITIONS):
            last = {"payment_id": f"{END}-{partition}", "event_time": end_ms, "card": f"{END}-{partition}", "amount": 1.0}
            publisher.send(encoder.encode(last), timestamp_ms=end_ms, key=str(last["card"]), partition=partition)
