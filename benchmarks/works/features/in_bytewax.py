"""bytewax in two processes of one cluster: `python in_bytewax.py SERVERS TOPIC SCHEMA.avsc OUT FOLDER`, in the peer's environment.

Each process reads a partition, and the cluster brings the events of a card to one of them. The clock goes by event times alone, since a replay is
not in the time of day. Nothing is kept for recovery.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from fastavro import schemaless_reader
from fastavro.schema import load_schema

PROCESSES = 2
HEADER_BYTES = 10
MINUTE_MS = 60_000
START = datetime(2025, 1, 1, tzinfo=UTC)

Payment = tuple[datetime, float]
Sums = tuple[int, float, float]


def flow(servers: str, topic: str, schema: str, out: str, folder: Path) -> Dataflow:
    """Of one process; the time of its first event goes into a file."""
    own, began = load_schema(schema), folder / f"began-{os.getpid()}"
    start_ms = int(START.timestamp()) * 1000

    def decoded(messages: list[KafkaSourceMessage[bytes, bytes]]) -> list[tuple[str, Payment]]:
        if not began.exists():
            began.write_text(str(time.time()))
        payments: list[Any] = [schemaless_reader(io.BytesIO(message.value[HEADER_BYTES:]), own, None) for message in messages]
        return [(payment["card"], (payment["event_time"], payment["amount"])) for payment in payments]

    def add(sums: Sums, payment: Payment) -> Sums:
        count, total, largest = sums
        amount = payment[1]
        return count + 1, total + amount, amount if amount > largest else largest

    def merged(one: Sums, other: Sums) -> Sums:
        return one[0] + other[0], one[1] + other[1], max(one[2], other[2])

    def tile(item: tuple[str, tuple[int, Sums]]) -> KafkaSinkMessage[bytes, bytes]:
        card, (minute, (count, total, largest)) = item
        told = {"card": card, "start_ms": start_ms + minute * MINUTE_MS, "count": count, "sum": total, "max": largest}
        return KafkaSinkMessage(card.encode(), orjson.dumps(told))

    dataflow = Dataflow("tiles")
    messages = op.input("messages", dataflow, KafkaSource([servers], [topic], tail=False))
    payments = op.flat_map_batch("decoded", messages, decoded)
    clock = EventClock(
        ts_getter=lambda payment: payment[0],
        wait_for_system_duration=timedelta(seconds=5),
        now_getter=lambda: START,
        to_system_utc=lambda moment: None,
    )
    minutes = TumblingWindower(length=timedelta(minutes=1), align_to=START)
    windows = fold_window("minutes", payments, clock, minutes, lambda: (0, 0.0, float("-inf")), add, merged, ordered=False)
    op.output("tiles", op.map("written", windows.down, tile), KafkaSink([servers], out))
    return dataflow


def main(arguments: list[str]) -> int:
    """Run the cluster to the end of the topic."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]
    several = [subprocess.Popen([sys.executable, __file__, *arguments, str(number), *addresses]) for number in range(PROCESSES)]
    return max(process.wait() for process in several)


if __name__ == "__main__":
    _, servers, topic, schema, out, folder, *share = sys.argv
    if not share:
        sys.exit(main(sys.argv[1:]))
    # As `python -m bytewax.run` does, which would take this folder for a package of its own.
    number, *addresses = share
    cli_main(
        flow(servers, topic, schema, out, Path(folder)), process_id=int(number), addresses=addresses, epoch_interval=timedelta(seconds=10)
    )
