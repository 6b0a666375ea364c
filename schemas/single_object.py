"""Records in Avro single-object encoding (C3 01, fingerprint, bytes): written, and read one at a time whatever their schema."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from fastavro import schemaless_reader, schemaless_writer

from schemas.errors import DataError
from schemas.field import Field
from schemas.logical import from_ms
from schemas.schema import SHIPPED, Schema, SchemaSet, load_file
from schemas.types import DataType

SINGLE_OBJECT = b"\xc3\x01"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
HEADER_BYTES = 10
"""C3 01 and the fingerprint."""


class Encoder:
    """Writes records of one schema in Avro single-object encoding."""

    def __init__(self, schema: Schema) -> None:
        """Prepare the header."""
        self.schema = schema
        self._avro = dict(schema.avro)
        self._header = SINGLE_OBJECT + schema.fingerprint
        self._converted = {field.name: convert for field in schema.fields if (convert := _conversion(field)) is not None}

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """One record; timestamps as int ms or aware datetimes; a field with a default may be left out.

        Raises:
            DataError: A field is missing or not of its type.
        """
        out = io.BytesIO(self._header)
        out.seek(len(self._header))
        try:
            if self._converted:
                written = {name: convert(record[name]) for name, convert in self._converted.items() if record.get(name) is not None}
                record = {**record, **written}
            schemaless_writer(out, self._avro, record, strict_allow_default=True)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise DataError(f'record of schema "{self.schema.name}": {error}') from error
        return out.getvalue()

    def batch(self, columns: Mapping[str, Sequence[Any]]) -> list[bytes]:
        """One message per row of columns of equal length."""
        names = tuple(columns)
        return [self.encode(dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def encode(schema: Schema, record: Mapping[str, Any]) -> bytes:
    """One record in Avro single-object encoding; see `Encoder` for many."""
    return Encoder(schema).encode(record)


def marker(event_time_ms: int, final: bool = False) -> bytes:
    """A heartbeat or, when `final`, end marker: says that its partition has been published up to this time."""
    return _marker_encoder().encode({"event_time": event_time_ms, "final": final})


def read_object(schema_set: SchemaSet, body: bytes) -> tuple[Schema, dict[str, Any]]:
    """Read one single-object record of any known schema, maps and arrays too, as written.

    Returns:
        The schema and the record; timestamps as aware datetimes.

    Raises:
        DataError: Not such a record.
    """
    if body[:2] != SINGLE_OBJECT or (schema := schema_set.by_fingerprint(body[2:HEADER_BYTES])) is None:
        raise DataError("not an Avro single-object record of a known schema")
    stream = io.BytesIO(body)
    stream.seek(HEADER_BYTES)
    try:
        record = schemaless_reader(stream, dict(schema.avro), None)
    except Exception as error:  # fastavro raises whatever damaged bytes lead it to
        raise DataError(f'damaged record of schema "{schema.name}": {type(error).__name__}: {error}') from error
    if stream.tell() != len(body):
        raise DataError(f'over-long record of schema "{schema.name}"')
    return schema, record  # type: ignore[return-value]  # the schema is a record's


def _conversion(field: Field) -> Callable[[Any], Any] | None:
    """What makes of a value of ours the one that the wire has, where they differ."""
    if field.type is DataType.TIMESTAMP and field.moment != "timestamp-millis":
        return lambda time: from_ms((time - _EPOCH) // _MILLISECOND if isinstance(time, datetime) else time, field.moment)
    if field.type is DataType.STRING and field.carrier == "fixed":
        return lambda text: UUID(text).bytes
    return None


@cache
def _marker_encoder() -> Encoder:
    return Encoder(load_file(SHIPPED / "watermark.avsc"))
