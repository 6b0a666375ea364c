"""Payments at a steady rate, whatever becomes of them: `python -m benchmarks.live.send SERVERS RATE SECONDS`.

Prints when the first is due, ms since the epoch; at the end, by how many seconds the one that was most behind was sent after it was due.
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import Producer

from benchmarks.live import inputs
from schemas.schema import SchemaSet
from schemas.wire import Encoder

_AHEAD_S = 2.0
_PARTS_PER_S = 50
"""Events are encoded so many times a second: all at once would make their sender late."""


def main(servers: str, rate: int, seconds: int) -> None:
    """Send them."""
    encoder = Encoder(SchemaSet.load(inputs.SCHEMAS).current("payment"))
    producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "linger.ms": 5, "acks": "all"})
    producer.list_topics(inputs.SOURCE, timeout=10)
    begin_ms = round((time.time() + _AHEAD_S) * 1000)
    events = inputs.events(begin_ms, rate, seconds)
    print(begin_ms, flush=True)
    behind, size = 0.0, rate // _PARTS_PER_S
    for first in range(0, len(events), size):
        columns = events.slice(first, size).to_pydict()
        for number, (key, body) in enumerate(zip(columns["card"], encoder.batch(columns), strict=True), first):
            due = begin_ms / 1000 + number / rate
            while (early := due - time.time()) > 0:
                producer.poll(min(early, 0.001))
            behind = max(behind, -early)
            producer.produce(inputs.SOURCE, body, key=key)
    if producer.flush(60):
        raise SystemExit("payments that could not be delivered")
    print(behind)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
