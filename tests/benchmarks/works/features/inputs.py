"""Payments from a seed, in a Kafka topic and as the tiles that must come of them; the topic is kept between runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.settings import Settings
from jobs import topics
from jobs.publish import Publisher
from schemas.record import SchemaSet
from schemas.wire import Encoder
from tests.benchmarks.works.features import services

TOPIC, PARTITIONS = "payments", 2
CARDS, EVENTS_PER_MINUTE = 4_000, 4_000
DISORDER_MS = 4_000
"""How much later than its time an event is published, at most; every contender waits for 5 s."""
MINUTE_MS = 60_000
START_MS = 1_735_689_600_000
"""2025-01-01."""
END = "end"
"""The last event of each partition, ten minutes after the others, is of a card that begins so: it closes all tiles but its own, which nobody has to write."""

_SEED = 13
_CHUNK = 5_000


def ensure(settings: Settings, truth: Path, count: int) -> int:
    """Publish the events and write the tiles that must come of them, unless that is done.

    Args:
        settings: Of the broker, and where the schema is.
        truth: A Parquet file of tiles: `card`, `start_ms`, `count`, `sum`, `max`.
        count: How many events, besides the last of each partition.

    Returns:
        How many tiles there must be.
    """
    if truth.exists() and _published(settings) == count + PARTITIONS:
        return pq.read_metadata(truth).num_rows
    truth.unlink(missing_ok=True)
    services.remove(settings, lambda topic: topic == TOPIC)
    topics.create(settings.kafka_servers, [TOPIC], partitions=PARTITIONS, replication=1, config={"retention.ms": "-1"})
    rng = np.random.default_rng(_SEED)
    minutes = count // EVENTS_PER_MINUTE
    time_ms = np.sort(rng.integers(0, minutes * MINUTE_MS, count)) + START_MS
    card = np.array([f"card-{number:04}" for number in range(CARDS)])[rng.integers(0, CARDS, count)]
    amount = np.round(rng.lognormal(4.0, 1.5, count), 2)
    events = pa.table({"payment_id": np.arange(count).astype(str), "event_time": time_ms, "card": card, "amount": amount})
    published = np.argsort(time_ms + rng.integers(0, DISORDER_MS, count), kind="stable")
    _publish(settings, events.take(published), end_ms=START_MS + (minutes + 10) * MINUTE_MS)
    tiles = _tiles(events)
    truth.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(tiles, truth)
    return len(tiles)


def _published(settings: Settings) -> int:
    """How many events the topic has; 0 where there is none."""
    if TOPIC not in services.topics_there(settings):
        return 0
    return sum(end - first for first, end in topics.extents(settings.kafka_servers, [TOPIC])[TOPIC].values())


def _publish(settings: Settings, events: pa.Table, *, end_ms: int) -> None:
    """As `tidemark publish` writes them, but not in the order of their times."""
    schema = SchemaSet.load(settings.schemas).current("payment")
    encoder = Encoder(schema)
    with Publisher(settings.kafka_servers, TOPIC, schema, event_time="event_time") as publisher:
        for start in range(0, len(events), _CHUNK):
            columns = events.slice(start, _CHUNK).to_pydict()
            for body, moment, card in zip(encoder.batch(columns), columns["event_time"], columns["card"], strict=True):
                publisher.send(body, timestamp_ms=moment, key=card)
        for partition in range(PARTITIONS):
            last = {"payment_id": f"{END}-{partition}", "event_time": end_ms, "card": f"{END}-{partition}", "amount": 1.0}
            publisher.send(encoder.encode(last), timestamp_ms=end_ms, key=str(last["card"]), partition=partition)


def _tiles(events: pa.Table) -> pa.Table:
    start_ms = np.asarray(events["event_time"]) // MINUTE_MS * MINUTE_MS
    grouped = events.append_column("start_ms", pa.array(start_ms)).group_by(["card", "start_ms"])
    tiles = grouped.aggregate([([], "count_all"), ("amount", "sum"), ("amount", "max")])
    return tiles.rename_columns(["card", "start_ms", "count", "sum", "max"]).sort_by([("card", "ascending"), ("start_ms", "ascending")])
