"""Requests at a steady rate, whatever becomes of them: `python open_loop.py SERVERS RATE SECONDS FIRST`, from request number FIRST on.

Prints when the first was due; the others are due one by one after it, and late only if the sender is.
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import Producer

from benchmarks.scoring import inputs


def main(servers: str, rate: int, seconds: int, first: int) -> None:
    """Send them."""
    service, count = inputs.service(), rate * seconds
    table = inputs.requests(first + count).slice(first)
    keys, bodies = table["request_id"].to_pylist(), inputs.bodies(table)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 0, "acks": "all", "queue.buffering.max.messages": 1_000_000})
    producer.list_topics(service.request.topic, timeout=10)
    begin = time.time() + 0.5
    for number, (key, body) in enumerate(zip(keys, bodies, strict=True)):
        due = begin + number / rate
        while (early := due - time.time()) > 0:
            producer.poll(min(early, 0.001))
        producer.produce(service.request.topic, body, key=key)
    if producer.flush(60):
        raise SystemExit("requests that could not be delivered")
    print(begin)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
