"""A random stream of readings: out of order, repeated, late, malformed, with heartbeats; what becomes of each message is known here."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import Producer

from schemas.schema import Schema
from schemas.wire import encode, marker
from tests.waiting import PATIENCE_S

PARTITIONS = 2
START_MS = 1_700_000_000_000  # not a multiple of a minute
LATENESS_MS = 20_000
DAY_MS = 86_400_000

Reading = dict[str, Any]


@dataclass(kw_only=True)
class Message:
    """A message, and what it is: a reading, a marker (neither), or refused with a reason that starts so."""

    partition: int
    timestamp_ms: int
    key: bytes | None
    body: bytes | None
    reading: Reading | None = None
    refused: str | None = None
    marks: int | None = None  # the time that a marker tells
    offset: int = field(default=-1)


def messages(schema: Schema, *, seed: int, count: int, start_ms: int = START_MS) -> Iterator[Message]:
    """Messages in the order of publishing; record timestamps rise, but for one far in the future: they decide nothing."""
    dice = random.Random(seed)
    clock, recent = start_ms, list[Reading]()
    bad = refusals(schema, clock)
    for number in range(count):
        clock += dice.randrange(200)
        message = partial(Message, partition=dice.randrange(PARTITIONS), timestamp_ms=clock)
        kind = dice.random()
        if kind < 0.03:
            reason, body = bad[number % len(bad)]
            yield message(key=b"bad", body=body, refused=reason)
        elif kind < 0.04:
            yield message(key=None, body=marker(clock), marks=clock)
        else:
            reading = repeated(dice, recent) if recent and kind < 0.12 else fresh(dice, f"{seed}-{number}", clock)
            recent = [*recent[-50:], reading]
            if number == count // 2:
                message = partial(message, timestamp_ms=int(time.time() * 1000) + DAY_MS)
            yield message(key=reading["reading_id"].encode(), body=encode(schema, reading), reading=reading)


def fresh(dice: random.Random, name: str, clock: int) -> Reading:
    """A reading that happened some time ago: mostly seconds, sometimes minutes, once in a while in 1970."""
    ago = dice.choice([dice.randrange(5_000)] * 14 + [dice.randrange(LATENESS_MS)] * 5 + [dice.randrange(10 * LATENESS_MS)])
    return {
        "reading_id": name,
        "event_time": dice.randrange(-100_000, 100_000) if dice.random() < 0.001 else (clock - ago) // 50 * 50,  # often at the same time
        "meter": None if dice.random() < 0.05 else f"m{dice.randrange(12)}|é",
        "room": dice.randrange(-2, 3),
        "level": dice.choice([dice.gauss(0, 1), dice.gauss(1e9, 1), -3.5, 0.0]),
        "steps": None if dice.random() < 0.3 else dice.choice([dice.randrange(10), dice.randrange(-(1 << 62), 1 << 62)]),
        "offset": None if dice.random() < 0.3 else dice.choice(["", "a", "é", "z", "\U0001f40a", "￿", "a, b", "\\s,c"]),
        "valid": dice.random() < 0.6,
        "installed": None if dice.random() < 0.5 else dice.randrange(-DAY_MS, clock),
        "warmth": single(clock % 997 / 7),
        "draught": None if clock % 3 == 0 else single(clock % 991 / 11),
    }


def single(value: float) -> float:
    """The nearest number that a float has."""
    (nearest,) = struct.unpack("<f", struct.pack("<f", value))
    return float(nearest)


def repeated(dice: random.Random, recent: list[Reading]) -> Reading:
    """A reading again: the same, with another value, of another meter, or its id at another time (which is no repeat)."""
    reading = dice.choice(recent)
    return reading | dice.choice(
        [{}, {}, {"level": dice.gauss(0, 1)}, {"meter": f"m{dice.randrange(12)}"}, {"event_time": reading["event_time"] + 1000}]
    )


def refusals(schema: Schema, clock: int) -> list[tuple[str, bytes | None]]:
    """One message of each kind that the gate refuses, with the start of its reason."""
    good = fresh(random.Random(0), "refused", clock)
    body = encode(schema, good)
    return [
        ("empty", b""),
        ("tombstone", None),
        ("unknown-format", b"\xff\xfe nothing"),
        ("unknown-fingerprint", b"\xc3\x01" + bytes(8) + body[10:]),
        ("unknown-schema", b"\x00" + (77).to_bytes(4, "big") + body[10:]),
        ("truncated", body[:-3]),
        ("over-long", body + b"xyz"),
        ("wrong-type", b'{"reading_id": 7}'),
        ("non-finite", encode(schema, good | {"level": float("nan")})),
        ("future", encode(schema, good | {"event_time": 4_102_444_800_000})),
        ("too-large", encode(schema, good | {"offset": "x" * 2_000_000})),
    ]


def publish(servers: str, topic: str, stream: list[Message]) -> None:
    """Publish in order; sets the offset of each message."""
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "message.max.bytes": 8 << 20, "linger.ms": 20})
    for message in stream:

        def delivered(error: Any, record: Any, message: Message = message) -> None:
            assert error is None, error
            message.offset = record.offset()

        producer.produce(
            topic,
            message.body,
            message.key,
            partition=message.partition,
            timestamp=message.timestamp_ms,
            headers=[("trace", b"t")],
            on_delivery=delivered,
        )
        producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0
