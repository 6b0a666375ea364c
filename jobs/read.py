"""`tidemark read`: any topic of Tidemark as JSON lines: events in all wire formats, tiles, frontier, predictions, dead letters."""

from __future__ import annotations

import base64
import io
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any, cast
from uuid import uuid4

import typer
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition
from fastavro import parse_schema, schemaless_reader

from features import catalog
from features.compiler.plan import FRONTIER_TOPIC, Plan, tiles_topic
from features.compiler.tile_schema import tile_avro_schema
from infra.settings import Settings
from jobs import committed
from jobs.broker_fault import broker_fault, silent
from schemas.envelope import Refused
from schemas.errors import DataError, SettingError
from schemas.json_columns import parse_object
from schemas.record import SHIPPED, SchemaSet
from schemas.registry import Registry, UnknownSchema
from schemas.times import instant_ms
from schemas.wire import SINGLE_OBJECT, read_object
from schemas.wording import span

_ANSWER_S = 10.0
_POLL_S = 0.2
_SILENCE_S = 30.0
_TILES = tiles_topic("")

Record = dict[str, Any]


def messages(
    servers: str, topic: str, *, start: str | Mapping[int, int] = "beginning", most: int | None = None, follow: bool = False
) -> Iterator[Message]:
    """The messages of a topic, committed ones only, in order within each partition.

    Args:
        servers: Kafka's bootstrap servers.
        topic: Its name.
        start: `beginning`, `end`, or a time: from the first record with at least that record timestamp. Or partition → offset,
            and the beginning of every other partition.
        most: Stop after so many; until then new ones are waited for.
        follow: Wait for new ones for ever. With neither, stop at the end of every partition.

    Raises:
        ServiceError: The broker does not answer.
        SettingError: No such topic, or no such start.
    """
    since_ms = instant_ms(start) if isinstance(start, str) and start not in ("beginning", "end") else None
    consumer = committed.consumer(servers, f"tidemark-read-{uuid4()}", {"enable.partition.eof": True, "auto.offset.reset": "earliest"})
    try:
        places = _places(consumer, servers, topic, OFFSET_END if start == "end" else OFFSET_BEGINNING, since_ms)
        if not isinstance(start, str):
            places = [TopicPartition(topic, place.partition, start.get(place.partition, OFFSET_BEGINNING)) for place in places]
        consumer.assign(places)
        open_ends = {place.partition for place in places}
        count, heard = 0, time.monotonic()
        while (most is None or count < most) and (open_ends or follow or most is not None):
            for message in consumer.consume(1_000 if most is None else min(1_000, most - count), timeout=_POLL_S):
                heard = time.monotonic()
                error = message.error()
                if error is None:
                    count += 1
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(message.partition() or 0)
                else:
                    raise broker_fault(error, servers, f"topic {topic} cannot be read further")
            if open_ends and not follow and time.monotonic() - heard > _SILENCE_S:
                raise silent(servers, f"topic {topic} cannot be read further", _SILENCE_S)
    finally:
        consumer.close()


class RecordReader:
    """Turns messages into plain records, whatever of Tidemark's topics they come from."""

    def __init__(self, schemas: SchemaSet, plan: Callable[[], Plan], registry: Registry | None = None) -> None:
        """Prepare.

        Args:
            schemas: For fingerprints.
            plan: The definitions; asked only for a tiles topic.
            registry: For Confluent's framing.
        """
        self._schemas = schemas
        self._plan = plan
        self._registry = registry
        self._plain: dict[str, Any] = {}

    def record(self, message: Message) -> Record:
        """The message's record. Of a dead letter: its headers and bytes. Where nothing can be read: `_error` and the bytes.

        Timestamps are aware datetimes.

        Raises:
            ServiceError: The registry does not answer.
        """
        topic, body = message.topic() or "", message.value()
        headers = {name: _text(value) for name, value in cast("list[tuple[str, bytes | None]]", message.headers() or [])}
        if topic.endswith(".dlq"):
            return {**headers, "value": None if body is None else base64.b64encode(body).decode()}
        if body is None:
            record: Record = {"_tombstone": _text(message.key())}
        else:
            try:
                record = self._decode(topic, body)
            except DataError as error:
                record = {"_error": str(error), "_value": base64.b64encode(body).decode()}
        return {**record, "_headers": headers} if headers else record

    def _decode(self, topic: str, body: bytes) -> Record:
        if topic == FRONTIER_TOPIC or topic.startswith(_TILES):
            return _read_avro(self._schema_of(topic), body)
        if body[:2] == SINGLE_OBJECT:
            schema, record = read_object(self._schemas, body)
            return {"_marker": record} if schema.name == "watermark" else record
        if body[:1] == b"\0" and len(body) >= 5:
            schema_id = int.from_bytes(body[1:5], "big")
            if self._registry is None:
                raise DataError(f"schema id {schema_id}: no registry is set (TIDEMARK_REGISTRY)")
            try:
                writer = self._registry.schema(schema_id)
            except UnknownSchema as error:
                raise DataError(f"schema id {schema_id}: {error}") from error
            if writer is not None:
                return _read_avro(writer, body[5:])
            body = body[5:]
        try:
            return parse_object(body)
        except Refused as error:
            raise DataError(str(error)) from error

    def _schema_of(self, topic: str) -> Any:
        if topic not in self._plain:
            if topic == FRONTIER_TOPIC:
                self._plain[topic] = dict(self._schemas.current("closing").avro)
            else:
                view = topic.removeprefix(_TILES)
                views = self._plan().views
                if view not in views:
                    raise SettingError(
                        f'read: topic {topic} is of view "{view}", which the definitions do not have; there are {", ".join(sorted(views))}'
                    )
                self._plain[topic] = parse_schema(tile_avro_schema(views[view]))
        return self._plain[topic]


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
    for message in messages(settings.kafka_servers, topic, start=start, most=most, follow=wait):
        record = reader.record(message)
        if meta:
            _, time_ms = message.timestamp()
            record["_kafka"] = {
                "partition": message.partition(),
                "offset": message.offset(),
                "time": _iso(time_ms),
                "key": _text(message.key()),
            }
        sys.stdout.write(json.dumps(_jsonable(record), ensure_ascii=False, allow_nan=False) + "\n")
        if wait or most is not None:
            sys.stdout.flush()
    sys.stdout.flush()


def _places(consumer: Consumer, servers: str, topic: str, offset: int, since_ms: int | None) -> list[TopicPartition]:
    """Where to begin in each partition."""
    try:
        known = consumer.list_topics(timeout=_ANSWER_S).topics
        if topic not in known:
            near = get_close_matches(topic, known, n=1)
            mine = sorted(name for name in known if not name.startswith("__"))
            raise SettingError(
                f"read: no topic {topic}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(mine) or 'none yet'}")
            )
        partitions = sorted(known[topic].partitions)
        if since_ms is None:
            return [TopicPartition(topic, partition, offset) for partition in partitions]
        return consumer.offsets_for_times([TopicPartition(topic, partition, since_ms) for partition in partitions], timeout=_ANSWER_S)
    except KafkaException as error:
        raise broker_fault(error, servers, f"no answer within {span(_ANSWER_S * 1000)}") from error


def _read_avro(schema: Any, body: bytes) -> Record:
    stream = io.BytesIO(body)
    try:
        record = schemaless_reader(stream, dict(schema) if isinstance(schema, Mapping) else schema, None)
    except Exception as error:  # fastavro raises whatever damaged bytes lead it to
        raise DataError(f"not a record of this topic's schema: {type(error).__name__}: {error}") from error
    if stream.tell() != len(body) or not isinstance(record, dict):
        raise DataError("not a record of this topic's schema: bytes are left")
    return record


def _text(value: bytes | str | None) -> str | None:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


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
