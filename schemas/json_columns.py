"""JSON records → columns, strictly typed: what a field's type does not allow is refused, never converted in silence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from schemas.avro_cursor import Column, as_column
from schemas.record import Field, Schema
from schemas.types import DataType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NAMES = {bool: "boolean", int: "integer", float: "double", str: "string", list: "array", dict: "object", type(None): "null"}


class Refused(Exception):
    """A record's reason for the dead-letter topic."""


def read_json(bodies: Sequence[bytes], schema: Schema) -> tuple[dict[str, Column], list[str | None]]:
    """Read one JSON object per record; fields that the schema does not have are ignored.

    A nullable field may be left out. An integer is accepted for a double; a timestamp is integer milliseconds or ISO 8601 with offset.

    Returns:
        Field name → column of n values, and for each record why it is refused, or None.
    """
    faults: list[str | None] = [None] * len(bodies)
    values: list[list[object]] = [[None] * len(bodies) for _ in schema.fields]
    for row, body in enumerate(bodies):
        try:
            record = parse_object(body)
            for column, field in zip(values, schema.fields, strict=True):
                column[row] = _value(record, field)
        except Refused as refused:
            faults[row] = str(refused)
    return {field.name: as_column(column, field.type) for field, column in zip(schema.fields, values, strict=True)}, faults


def parse_object(body: bytes) -> dict[str, Any]:
    """One JSON object.

    Raises:
        Refused: Not UTF-8, not JSON, not an object, or with NaN or Infinity (which are no JSON).
    """
    try:
        record = json.loads(body.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Refused("not-json: not UTF-8") from error
    except RecursionError as error:
        raise Refused("not-json: nested too deeply") from error
    except ValueError as error:
        raise Refused(f"not-json: {error}") from error
    if not isinstance(record, dict):
        raise Refused(f"not-json: expected an object, got {_NAMES.get(type(record), 'another value')}")
    return record


def _refuse_constant(name: str) -> NoReturn:
    raise Refused(f"non-finite: {name} is not a JSON number")


def _value(record: dict[str, Any], field: Field) -> object:
    value = record.get(field.name)
    if value is None:
        if field.nullable:
            return None if field.name in record or not field.has_default else field.default
        if field.name in record:
            raise Refused(f'wrong-type: field "{field.name}": expected {field.type}, got null')
        if field.has_default:
            return field.default
        raise Refused(f'missing: field "{field.name}"')
    kind = type(value)
    match field.type:
        case DataType.STRING if kind is str:
            if field.symbols and value not in field.symbols:
                raise Refused(f'wrong-type: field "{field.name}": {_shown(value)} is none of {", ".join(field.symbols)}')
            if not value.isascii():
                try:
                    value.encode()
                except UnicodeEncodeError as error:
                    raise Refused(f'wrong-type: field "{field.name}": a lone surrogate is no text') from error
            return value
        case DataType.BOOLEAN if kind is bool:
            return value
        case DataType.INT64 | DataType.TIMESTAMP if kind is int:
            if not -(2**63) <= value < 2**63:
                raise Refused(f'wrong-type: field "{field.name}": expected {field.type}, got an integer of more than 64 bits')
            return value
        case DataType.FLOAT64 if kind is float or kind is int:
            try:
                return float(value)
            except OverflowError as error:
                raise Refused(f'non-finite: field "{field.name}" is larger than any double') from error
        case DataType.TIMESTAMP if kind is str:
            return _time(value, field)
    raise Refused(f'wrong-type: field "{field.name}": expected {field.type}, got {_NAMES.get(kind, kind.__name__)}')


def _time(text: str, field: Field) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(f'wrong-type: field "{field.name}": {_shown(text)} is not an ISO 8601 time') from error
    if time.tzinfo is None:
        raise Refused(f'wrong-type: field "{field.name}": {_shown(text)} has no offset; write Z or +00:00 behind it')
    return (time - _EPOCH) // _MILLISECOND


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:40] + "…")
