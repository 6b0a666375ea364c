"""One value of a JSON record → the value of its field, as Avro would carry it, or a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from schemas.envelope import Refused
from schemas.field import Field
from schemas.logical import to_ms
from schemas.types import DataType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NOT_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "INF": float("inf"), "-Infinity": float("-inf"), "-INF": float("-inf")}
"""As text, which Avro's own JSON has for them; Python and others write the first, second and fourth bare."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class MinusZero(int):
    """`-0`, which is 0 for an integer and -0.0 for a double."""


NAMES: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    MinusZero: "integer",
    float: "double",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}
"""What the values of JSON are called in messages."""


def _text(value: Any, field: Field) -> str:
    if type(value) is not str:
        raise _wrong(value, field)
    if field.carrier == "fixed":
        if not _UUID.fullmatch(value):
            raise Refused(f'wrong-type: field "{field.name}": {shown(value)} is no UUID')
        return value.lower()
    if field.symbols and value not in field.symbols:
        if field.unknown_symbol is None:
            raise Refused(f'wrong-type: field "{field.name}": {shown(value)} is none of {", ".join(field.symbols)}')
        return field.unknown_symbol
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Refused(f'wrong-type: field "{field.name}": a lone surrogate is no text') from error
    return value


def _boolean(value: Any, field: Field) -> bool:
    if type(value) is not bool:
        raise _wrong(value, field)
    return value


def _whole(value: Any, field: Field) -> int:
    if type(value) is not int and type(value) is not MinusZero:
        raise _wrong(value, field)
    if not -(2**63) <= value < 2**63:
        raise Refused(f'wrong-type: field "{field.name}": expected {field.expected}, got an integer of more than 64 bits')
    if field.is_32_bits and not -(2**31) <= value < 2**31:
        raise Refused(f'wrong-type: field "{field.name}": {value} is no 32-bit integer')
    return int(value)


def _real(value: Any, field: Field) -> float:
    kind = type(value)
    if kind is float:
        return float(value)
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    if kind is MinusZero:
        return -0.0
    if kind is str and value in _NOT_NUMBERS:
        return _NOT_NUMBERS[value]
    raise _wrong(value, field)


def _time(value: Any, field: Field) -> int:
    if type(value) is not str:
        return to_ms(_whole(value, field), field.moment)
    try:
        time = _midnight(value) if field.moment == "date" else datetime.fromisoformat(value)
    except ValueError as error:
        wanted = "date" if field.moment == "date" else "time"
        raise Refused(f'wrong-type: field "{field.name}": {shown(value)} is not an ISO 8601 {wanted}') from error
    if time.tzinfo is None:
        raise Refused(f'wrong-type: field "{field.name}": {shown(value)} has no offset; write Z or +00:00 behind it')
    return (time - _EPOCH) // _MILLISECOND


def _midnight(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)


VALUES: Mapping[DataType, Callable[[Any, Field], object]] = {
    DataType.STRING: _text,
    DataType.BOOLEAN: _boolean,
    DataType.INT64: _whole,
    DataType.FLOAT64: _real,
    DataType.TIMESTAMP: _time,
}
"""How a value that is not null is read, by its field's type; Refused says why it cannot be."""


def shown(text: str) -> str:
    """The beginning of a text, for messages."""
    return ascii(text if len(text) <= 40 else text[:40] + "…")


def _wrong(value: object, field: Field) -> Refused:
    return Refused(f'wrong-type: field "{field.name}": expected {field.expected}, got {NAMES[type(value)]}')
