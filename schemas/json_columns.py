"""JSON records → columns, held to the types of Avro: the bits that Avro would carry, or a reason; never converted in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from schemas.avro_cursor import Column, as_column
from schemas.record import Field, Schema
from schemas.types import DataType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NAMES = {bool: "boolean", int: "integer", float: "double", str: "string", list: "array", dict: "object", type(None): "null"}
_NOT_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "INF": float("inf"), "-Infinity": float("-inf"), "-INF": float("-inf")}
"""As text, which Avro's own JSON has for them; Python and others write the first, second and fourth bare."""
_MINUS_ZERO = re.compile(rb"[\s:\[,]-0[\s,}\]]")
_AHEAD_OF_A_COLON = (b" :", b"\t:", b"\n:", b"\r:")


class Refused(Exception):
    """A record's reason for the dead-letter topic."""


class _MinusZero(int):
    """`-0`, which is 0 for an integer and -0.0 for a double."""


def read_json(bodies: Sequence[bytes], schema: Schema) -> tuple[dict[str, Column], list[str | None]]:
    """Read one JSON object per record; fields that the schema does not have are ignored.

    A nullable field may be left out. An integer is accepted for a double, and `3.0` for no integer. A number for a float is rounded to single
    precision, as an Avro writer rounds it. A timestamp is integer milliseconds or ISO 8601 with offset; finer ones are cut.

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
    return {field.name: _column(column, field) for field, column in zip(schema.fields, values, strict=True)}, faults


def _column(values: list[object], field: Field) -> Column:
    column = as_column(values, field.type)
    if not field.is_single:
        return column
    with np.errstate(over="ignore"):
        return Column(values=column.values.astype(np.float32).astype(np.float64), nulls=column.nulls)


def parse_object(body: bytes) -> dict[str, Any]:
    """One JSON object.

    Raises:
        Refused: Not UTF-8, not JSON, not an object, or with a name twice in one object: readers differ on which of the two counts.
    """
    try:
        text = body.decode()
        record = json.loads(text, parse_int=_integer) if b"-0" in body and _MINUS_ZERO.search(body) else json.loads(text)
        # Each name has a colon behind its quote: if there are no more of those than names that are left, none was there twice.
        if type(record) is dict and (body.count(b'":') != len(record) or any(map(body.__contains__, _AHEAD_OF_A_COLON))):
            json.loads(text, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise Refused("not-json: not UTF-8") from error
    except RecursionError as error:
        raise Refused("not-json: nested too deeply") from error
    except ValueError as error:
        raise Refused(f"not-json: {error}") from error
    if not isinstance(record, dict):
        raise Refused(f"not-json: expected an object, got {_NAMES.get(type(record), 'another value')}")
    return record


def _integer(text: str) -> int:
    return _MinusZero() if text == "-0" else int(text)


def _unique(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise Refused(f"not-json: {_shown(twice)} is there twice in one object")


def _value(record: dict[str, Any], field: Field) -> object:
    value = record.get(field.name)
    if value is None:
        if field.nullable:
            return None if field.name in record or not field.has_default else field.default
        if field.name in record:
            raise Refused(f'wrong-type: field "{field.name}": expected {field.expected}, got null')
        if field.has_default:
            return field.default
        raise Refused(f'missing: field "{field.name}"')
    kind = type(value)
    match field.type:
        case DataType.STRING if kind is str:
            if field.symbols and value not in field.symbols:
                if field.unknown_symbol is not None:
                    return field.unknown_symbol
                raise Refused(f'wrong-type: field "{field.name}": {_shown(value)} is none of {", ".join(field.symbols)}')
            if not value.isascii():
                try:
                    value.encode()
                except UnicodeEncodeError as error:
                    raise Refused(f'wrong-type: field "{field.name}": a lone surrogate is no text') from error
            return value
        case DataType.BOOLEAN if kind is bool:
            return value
        case DataType.INT64 | DataType.TIMESTAMP if kind is int or kind is _MinusZero:
            if not -(2**63) <= value < 2**63:
                raise Refused(f'wrong-type: field "{field.name}": expected {field.expected}, got an integer of more than 64 bits')
            if field.is_32_bits and not -(2**31) <= value < 2**31:
                raise Refused(f'wrong-type: field "{field.name}": {value} is no 32-bit integer')
            return value
        case DataType.FLOAT64 if kind is float:
            return value
        case DataType.FLOAT64 if kind is int:
            try:
                return float(value)
            except OverflowError:
                return float("inf") if value > 0 else float("-inf")
        case DataType.FLOAT64 if kind is _MinusZero:
            return -0.0
        case DataType.FLOAT64 if kind is str and value in _NOT_NUMBERS:
            return _NOT_NUMBERS[value]
        case DataType.TIMESTAMP if kind is str:
            return _time(value, field)
    raise Refused(f'wrong-type: field "{field.name}": expected {field.expected}, got {_NAMES.get(kind, kind.__name__)}')


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
