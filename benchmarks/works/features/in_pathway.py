"""Pathway in one process with two threads: `python in_pathway.py SERVERS TOPIC SCHEMA.avsc OUT FOLDER`, in the peer's environment.

Tiles are grouped sums, which it writes with every commit that changes them, and corrects: the last of a tile counts.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from fastavro import schemaless_reader
from fastavro.schema import load_schema

THREADS, PARTITIONS = 2, 2
HEADER_BYTES = 10
MINUTE_MS = 60_000
END = "end"
"""The last event of each partition is of a card that begins so."""
WRITTEN_WITHIN_S = 5.0


def main(servers: str, topic: str, schema: str, out: str, began: Path) -> None:
    """Read to the end of the topic; write the time of the first event to a file."""
    os.environ["PATHWAY_THREADS"] = str(THREADS)
    import pathway as pw

    own, settings = load_schema(schema), {"bootstrap.servers": servers, "group.id": f"pathway-{time.time_ns()}"}

    @pw.udf(deterministic=True, max_batch_size=1_000)  # type: ignore[untyped-decorator]  # pathway is not in this environment
    def decoded(bodies: list[bytes]) -> list[tuple[str, int, float]]:
        if not began.exists():
            began.write_text(str(time.time()))
        payments: list[Any] = [schemaless_reader(io.BytesIO(body[HEADER_BYTES:]), own, None) for body in bodies]
        return [(payment["card"], round(payment["event_time"].timestamp() * 1000), payment["amount"]) for payment in payments]

    messages = pw.io.kafka.read(settings | {"auto.offset.reset": "earliest"}, topic, format="raw", autogenerate_key=True)
    fields = messages.select(payment=decoded(pw.this.data))
    payments = fields.select(card=pw.this.payment[0], start_ms=pw.this.payment[1] // MINUTE_MS * MINUTE_MS, amount=pw.this.payment[2])
    tiles = payments.groupby(pw.this.card, pw.this.start_ms).reduce(
        pw.this.card, pw.this.start_ms, count=pw.reducers.count(), sum=pw.reducers.sum(pw.this.amount), max=pw.reducers.max(pw.this.amount)
    )
    pw.io.kafka.write(tiles, settings, out, format="json", key=tiles.card)
    ended: set[str] = set()

    def end(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        ended.add(row["card"])
        if len(ended) == PARTITIONS:
            threading.Timer(WRITTEN_WITHIN_S, os._exit, [0]).start()

    pw.io.subscribe(tiles.filter(tiles.card.str.startswith(END)), end)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    servers, topic, schema, out, folder = sys.argv[1:]
    main(servers, topic, schema, out, Path(folder) / "began-0")
