"""The one list of what a file's column may be for a field, and how its values are read; every reader of files applies it (schemas/conform)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.types import DataType

if TYPE_CHECKING:
    Column = pa.ChunkedArray[Any]

_PER_MS = {"us": 1_000, "ns": 1_000_000}
_SURE_DIGITS = 15
"""Any decimal of so many digits is a double, and this double's shortest text is the decimal."""
NO_UTF8 = "it has bytes that are no UTF-8"
_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint8).reshape(256, 2)
_UUID_BYTES, _UUID_TEXT = 16, 36


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a column of some stored types becomes one of a portable type.

    Attributes:
        takes: Whether it is for a stored type.
        read: The values in the portable type's Arrow type. Raises `pa.ArrowException` where one cannot be held.
    """

    takes: Callable[[pa.DataType], bool]
    read: Callable[[Column], Column]


def rule_of(stored: pa.DataType, field: DataType) -> Rule | None:
    """How a stored column is read for a field; None where it is refused for its type."""
    plain = values_of(stored)
    if pa.types.is_null(plain):
        return Rule(takes=pa.types.is_null, read=lambda column: column.cast(field.arrow))
    return next((rule for rule in ACCEPTED[field] if rule.takes(plain)), None)


def values_of(stored: pa.DataType) -> pa.DataType:
    """The type of a column's values, where the column is stored as a dictionary of them."""
    return stored.value_type if pa.types.is_dictionary(stored) else stored


def is_uuid(type_: pa.DataType) -> bool:
    """Whether a column holds UUIDs, of 16 bytes each."""
    return isinstance(type_, pa.BaseExtensionType) and type_.extension_name == "arrow.uuid"  # its own class is of pyarrow 18


def _cast(to: pa.DataType) -> Callable[[Column], Column]:
    return lambda column: column.cast(to)


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)


def _is_bytes(type_: pa.DataType) -> bool:
    """Text that its writer did not call text: an enum, or a column of nulls as fastparquet writes it."""
    return pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_)


def _text(column: Column) -> Column:
    try:
        column = column.cast(pa.string())
        column.validate(full=True)  # a file may call any bytes text
    except pa.ArrowInvalid:
        raise pa.ArrowInvalid(NO_UTF8) from None
    return column


def _decimal_text(column: Column) -> Column:
    """All digits of the column's scale, never with an exponent."""
    texts = column.cast(pa.string())
    if pc.any(pc.match_substring(texts, "E")).as_py():
        texts = pa.chunked_array([pa.array([None if value is None else f"{value:f}" for value in column.to_pylist()], pa.string())])
    return texts


def _decimal_double(column: Column) -> Column:
    """The nearest doubles; each must say the decimal's digits again."""
    texts: Any = _decimal_text(column)
    doubles = texts.cast(pa.float64())
    digits: Any = pc.utf8_length(pc.utf8_trim(texts, "-0") if column.type.scale <= 0 else pc.utf8_trim(texts, "-0."))
    long: Any = pc.greater(digits, pa.scalar(_SURE_DIGITS, pa.int32()))
    for row in np.flatnonzero(np.asarray(long.fill_null(False))).tolist():
        if Decimal(repr(doubles[row].as_py())) != column[row].as_py():
            raise pa.ArrowInvalid(f"Decimal value {texts[row]} has more digits than a double holds")
    return doubles  # type: ignore[no-any-return]


def _milliseconds(column: Column) -> Column:
    """Of an instant: a finer part is cut towards the past. A zone says how it is shown, not when it is; without one it is in UTC."""
    unit = column.type.unit
    whole: Any = column.cast(pa.int64())
    if unit == "s":
        whole = pc.multiply_checked(whole, 1_000)
    elif unit in _PER_MS:
        # Of numbers, since Arrow's floor of a time is one of local time, and its earliest ones are turned into late ones.
        numbers = np.floor_divide(whole.fill_null(0).to_numpy(), _PER_MS[unit])
        whole = pa.chunked_array([pa.array(numbers, mask=np.asarray(whole.is_null()))])
    return whole.cast(DataType.TIMESTAMP.arrow)  # type: ignore[no-any-return]


def _midnight(column: Column) -> Column:
    return column.cast(pa.timestamp("ms")).cast(pa.int64()).cast(DataType.TIMESTAMP.arrow)


def _uuid_text(column: Column) -> Column:
    stored: Any = column.chunks
    chunks = [_uuid_texts(chunk.storage) for chunk in stored]
    return pa.chunked_array(chunks, type=pa.string())


def _uuid_texts(stored: pa.Array[Any]) -> pa.Array[Any]:
    """`123e4567-e89b-12d3-a456-426614174000` of each 16 bytes."""
    count, nothing = len(stored), bytes(_UUID_BYTES)
    octets = np.frombuffer(b"".join(value or nothing for value in stored.to_pylist()), dtype=np.uint8).reshape(count, _UUID_BYTES)
    texts = np.full((count, _UUID_TEXT), ord("-"), dtype=np.uint8)
    digits = _HEX[octets].reshape(count, 2 * _UUID_BYTES)
    texts[:, [place for place in range(_UUID_TEXT) if place not in (8, 13, 18, 23)]] = digits
    whole: Any = pa.Array.from_buffers(pa.binary(_UUID_TEXT), count, [None, pa.py_buffer(texts.tobytes())])
    present: Any = pc.if_else(stored.is_valid(), whole.cast(pa.binary()).cast(pa.string()), pa.scalar(None, pa.string()))
    return present  # type: ignore[no-any-return]


ACCEPTED: dict[DataType, tuple[Rule, ...]] = {
    DataType.BOOLEAN: (Rule(takes=pa.types.is_boolean, read=_cast(pa.bool_())),),
    DataType.INT64: (
        Rule(takes=pa.types.is_integer, read=_cast(pa.int64())),
        Rule(takes=pa.types.is_decimal, read=_cast(pa.int64())),
    ),
    DataType.FLOAT64: (
        Rule(takes=pa.types.is_floating, read=_cast(pa.float64())),
        Rule(takes=pa.types.is_integer, read=_cast(pa.float64())),  # refuses what lies beyond 2⁵³
        Rule(takes=pa.types.is_decimal, read=_decimal_double),
    ),
    DataType.STRING: (
        Rule(takes=_is_text, read=_text),
        Rule(takes=_is_bytes, read=_text),
        Rule(takes=is_uuid, read=_uuid_text),
        Rule(takes=pa.types.is_decimal, read=_decimal_text),
        Rule(takes=pa.types.is_date, read=_cast(pa.string())),
    ),
    DataType.TIMESTAMP: (
        Rule(takes=pa.types.is_timestamp, read=_milliseconds),
        Rule(takes=pa.types.is_date, read=_midnight),
    ),
}
"""For each portable type, besides columns of nulls, and of dictionaries of these."""
