"""What other programs wrap records in: Kafka Connect's JSON, and Debezium's change events."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Any

from schemas.avro_columns import no_record
from schemas.schema import Schema

_RECORD = "after"


class Refused(Exception):
    """A record's reason for the dead-letter topic."""


class Envelope(StrEnum):
    """An envelope that a source may declare."""

    CONNECT = "connect"
    DEBEZIUM = "debezium"


def within(schema: Schema, envelope: Envelope | None) -> Schema:
    """The schema as others' records have it: of a change event, a field without a path of its own lies in `after`.

    Records that are in no envelope are read as well: a path that leads nowhere is the field's name.
    """
    if envelope is not Envelope.DEBEZIUM:
        return schema
    fields = tuple(field if field.path else replace(field, path=(_RECORD, field.name)) for field in schema.fields)
    return replace(schema, fields=fields, envelope=_RECORD)


def opened(record: dict[str, Any], envelope: Envelope) -> dict[str, Any]:
    """A JSON record without Connect's envelope; a change event is left whole.

    Raises:
        Refused: There is no envelope where there must be one, or no record in it.
    """
    if record.keys() == {"schema", "payload"}:
        payload = record["payload"]
        if payload is None:
            raise Refused(no_record("payload"))
        if not isinstance(payload, dict):
            raise Refused('wrong-type: "payload": expected an object')
        record = payload
    elif envelope is Envelope.CONNECT:
        raise Refused('no-envelope: expected "schema" and "payload" alone, as JSON of Kafka Connect with schemas has')
    if envelope is Envelope.DEBEZIUM and record.get(_RECORD) is None and (_RECORD in record or "op" in record):
        raise Refused(no_record(_RECORD))
    return record
