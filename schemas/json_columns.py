"""JSON records → columns, held to the types of Avro: the bits that Avro would carry, or a reason; never converted in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from schemas.avro_cursor import Column, as_column
from schemas.envelope import Envelope, Refused, opened
from schemas.field import Field
from schemas.json_values import NAMES, VALUES, MinusZero, shown
from schemas.schema import Schema

_MINUS_ZERO = re.compile(rb"[\s:\[,]-0[\s,}\]]")
_AHEAD_OF_A_COLON = (b" :", b"\t:", b"\n:", b"\r:")


def read_json(bodies: Sequence[bytes], schema: Schema, envelope: Envelope | None = None) -> tuple[dict[str, Column], list[str | None]]:
    """Read one JSON object per record; fields that the schema does not have are ignored.

    A nullable field may be left out. An integer is accepted for a double, and `3.0` for no integer. A number for a float is rounded to single
    precision, as an Avro writer rounds it. A timestamp is an integer, in the unit of its logical type, or ISO 8601 with offset; what is finer than milliseconds is cut.

    Returns:
        Field name → column of n values, and for each record why it is refused, or None.
    """
    return _read(bodies, parse_object, schema, envelope)


def read_objects(
    records: Sequence[Mapping[str, Any]], schema: Schema, envelope: Envelope | None = None
) -> tuple[dict[str, Column], list[str | None]]:
    """Read objects that somebody has parsed already, as `json.loads` does: what holds for their texts in `read_json`, holds for them."""
    return _read(records, dict, schema, envelope)


def _read(
    given: Sequence[Any], parse: Callable[[Any], dict[str, Any]], schema: Schema, envelope: Envelope | None
) -> tuple[dict[str, Column], list[str | None]]:
    faults: list[str | None] = [None] * len(given)
    values: list[list[object]] = [[None] * len(given) for _ in schema.fields]
    for row, each in enumerate(given):
        try:
            record = parse(each)
            if envelope is not None:
                record = opened(record, envelope)
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
        if type(record) is dict and _may_repeat(body, len(record)):
            json.loads(text, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise Refused("not-json: not UTF-8") from error
    except RecursionError as error:
        raise Refused("not-json: nested too deeply") from error
    except ValueError as error:
        raise Refused(f"not-json: {error}") from error
    if not isinstance(record, dict):
        raise Refused(f"not-json: expected an object, got {NAMES[type(record)]}")
    return record


def _may_repeat(body: bytes, names: int) -> bool:
    """Whether a name may be there twice: each has a colon behind its quote, so not if there are no more of those than names that are left."""
    quoted = body.count(b'":')
    return quoted != names or (body.count(b":") != quoted and any(map(body.__contains__, _AHEAD_OF_A_COLON)))


def _integer(text: str) -> int:
    return MinusZero() if text == "-0" else int(text)


def _unique(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise Refused(f"not-json: {shown(twice)} is there twice in one object")


def _value(record: dict[str, Any], field: Field) -> object:
    name = field.name
    if field.path:
        record, name = _holder(record, field)
    value = record.get(name)
    if value is None:
        if field.nullable:
            return None if name in record or not field.has_default else field.default
        if name in record:
            raise Refused(f'wrong-type: field "{field.name}": expected {field.expected}, got null')
        if field.has_default:
            return field.default
        raise Refused(f'missing: field "{field.name}"')
    return VALUES[field.type](value, field)


def _holder(record: dict[str, Any], field: Field) -> tuple[dict[str, Any], str]:
    """The object that has a field with a path, and its name there; the record itself where the path's first step leads nowhere."""
    *steps, name = field.path
    head = field.path[0]
    if head not in record or (steps and not isinstance(record[head], dict) and (record[head] is not None or head == field.name)):
        return record, field.name
    for depth, step in enumerate(steps, 1):
        inner = record.get(step, {})
        if inner is None:
            if not field.nullable:
                raise Refused(f'missing: field "{field.name}": "{".".join(steps[:depth])}" is null')
            return {name: None}, name
        if not isinstance(inner, dict):
            raise Refused(f'wrong-type: field "{field.name}": "{".".join(steps[:depth])}": expected an object, got {NAMES[type(inner)]}')
        record = inner
    return record, name
