"""Quix Streams in two processes of one consumer group: `python in_quix.py SERVERS TOPIC SCHEMA.avsc OUT FOLDER`, in the peer's environment.

The windows of a partition are closed as its own time passes, and written once, when they are final. State is in RocksDB with a changelog topic, as
it is unless one says otherwise.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastavro import schemaless_reader
from fastavro.schema import load_schema
from quixstreams import Application
from quixstreams.dataframe.windows import Count, Max, Sum
from quixstreams.models import BytesDeserializer

PROCESSES = 2
HEADER_BYTES = 10
SILENCE_S = 10.0
"""After so long without a message all have been read."""


def main(servers: str, topic: str, schema: str, out: str, folder: Path, group: str, number: str) -> None:
    """Do this process's share, to the end of the topic; write the time of the first event to a file."""
    own, began = load_schema(schema), folder / f"began-{number}"
    app = Application(
        broker_address=servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=folder / f"state-{number}",
        loglevel="WARNING",
    )
    waiting = True

    def decoded(body: bytes) -> Any:
        nonlocal waiting
        if waiting:
            began.write_text(str(time.time()))
            waiting = False
        return schemaless_reader(io.BytesIO(body[HEADER_BYTES:]), own, None)

    def tile(window: dict[str, Any], key: bytes, *_: Any) -> dict[str, Any]:
        return {"card": key.decode(), "start_ms": window["start"], "count": window["count"], "sum": window["sum"], "max": window["max"]}

    payments = app.dataframe(app.topic(topic, value_deserializer=BytesDeserializer())).apply(decoded)
    windows = payments.tumbling_window(timedelta(minutes=1), grace_ms=timedelta(seconds=5))
    tiles = windows.agg(count=Count(), sum=Sum("amount"), max=Max("amount")).final(closing_strategy="partition")
    tiles.apply(tile, metadata=True).to_topic(app.topic(out, value_serializer="json"))
    app.run(timeout=SILENCE_S, collect=False)


if __name__ == "__main__":
    servers, topic, schema, out, folder, *share = sys.argv[1:]
    if share:
        main(servers, topic, schema, out, Path(folder), *share)
    else:
        group = f"quix-{time.time_ns()}"
        several = [subprocess.Popen([sys.executable, *sys.argv, group, str(number)]) for number in range(PROCESSES)]
        sys.exit(max(process.wait() for process in several))
