"""Messages as plain records, from whichever of Tidemark's topics: events in all wire formats, tiles, frontier, predictions, dead letters."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any, cast

from fastavro import parse_schema, schemaless_reader

from features.compiler.tile_schema import tile_avro_schema
from features.plan import FRONTIER_TOPIC, Plan, tiles_topic
from jobs.kafka.reader import Message
from schemas.envelope import Refused
from schemas.errors import DataError, SettingError
from schemas.json_columns import parse_object
from schemas.registry import Registry, UnknownSchema
from schemas.schema import SchemaSet
from schemas.wire import SINGLE_OBJECT, read_object

_TILES = tiles_topic("")

Record = dict[str, Any]


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
        headers = {name: text(value) for name, value in cast("list[tuple[str, bytes | None]]", message.headers() or [])}
        if topic.endswith(".dlq"):
            return {**headers, "value": None if body is None else base64.b64encode(body).decode()}
        if body is None:
            record: Record = {"_tombstone": text(message.key())}
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


def _read_avro(schema: Any, body: bytes) -> Record:
    stream = io.BytesIO(body)
    try:
        record = schemaless_reader(stream, dict(schema) if isinstance(schema, Mapping) else schema, None)
    except Exception as error:  # fastavro raises whatever damaged bytes lead it to
        raise DataError(f"not a record of this topic's schema: {type(error).__name__}: {error}") from error
    if stream.tell() != len(body) or not isinstance(record, dict):
        raise DataError("not a record of this topic's schema: bytes are left")
    return record


def text(value: bytes | str | None) -> str | None:
    """Bytes as text; what is none is escaped."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
