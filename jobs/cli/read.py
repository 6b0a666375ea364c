"""`tidemark read`: any topic of Tidemark as JSON lines: events in all wire formats, tiles, frontier, predictions, dead letters."""

from __future__ import annotations

import base64
import json
import math
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from features import catalog
from infra.settings import Settings
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.records import RecordReader, text
from schemas.registry import Registry
from schemas.schema import SHIPPED, SchemaSet

COMMANDS = {"read": "Read a topic as JSON lines"}


def command(
    topic: Annotated[str, typer.Argument(help="E.g. departures, departures.dlq, tidemark.tiles.VIEW, SERVICE.predictions.")],
    start: Annotated[
        str, typer.Option("--from", metavar="beginning|end|TIME", help="Where to start; TIME as 2013-10-01T05:00Z, by record timestamp.")
    ] = "beginning",
    most: Annotated[int | None, typer.Option("--max", min=1, metavar="N", help="Stop after N records; waits for them.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for new records until interrupted.")] = False,
    meta: Annotated[bool, typer.Option("--meta", help="Add each record's partition, offset, timestamp and key as _kafka.")] = False,
) -> None:
    """Print a topic's records as JSON lines; without --max or --follow up to the topic's end."""
    settings = Settings.load()
    registry = None if settings.registry is None else Registry(settings.registry)
    reader = RecordReader(
        SchemaSet.load(settings.schemas or SHIPPED), lambda: catalog.load(settings.definitions, settings.schemas), registry
    )
    wait = follow or (start == "end" and most is None)
    for message in messages(Connection.of(settings), topic, start=start, most=most, follow=wait):
        record = reader.record(message)
        if meta:
            _, time_ms = message.timestamp()
            record["_kafka"] = {
                "partition": message.partition(),
                "offset": message.offset(),
                "time": _iso(time_ms),
                "key": text(message.key()),
            }
        sys.stdout.write(json.dumps(_jsonable(record), ensure_ascii=False, allow_nan=False) + "\n")
        if wait or most is not None:
            sys.stdout.flush()
    sys.stdout.flush()


def _jsonable(value: Any) -> Any:
    match value:
        case dict():
            return {str(name): _jsonable(item) for name, item in value.items()}
        case list() | tuple():
            return [_jsonable(item) for item in value]
        case datetime() if value.tzinfo is None:
            return value.isoformat()  # of a local-timestamp: in no known zone
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case float() if not math.isfinite(value):
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case _ if isinstance(value, str | int | float | bool | None):
            return value
        case _:
            return str(value)


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
