"""One field of a record: its type in the schema file, what that is for us, and what the file says of it besides."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from schemas.avro_types import describe, resolved
from schemas.logical import MOMENTS, TIMES_OF_DAY, logical_type, refusal, to_ms, uuid_text
from schemas.types import DataType

ALLOWED = (
    "int, long, float, double, boolean, string, enum, uuid, timestamp-millis, timestamp-micros, timestamp-nanos, date, time-millis, time-micros, "
    "or [null, one of these]"
)
_SCALARS = {
    "int": DataType.INT64,
    "long": DataType.INT64,
    "float": DataType.FLOAT64,
    "double": DataType.FLOAT64,
    "boolean": DataType.BOOLEAN,
    "string": DataType.STRING,
}
_PATH = re.compile(r"[^.\s]+(\.[^.\s]+)*")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a record.

    Attributes:
        name: As in the schema file.
        type: Its portable type; an Avro enum is a string.
        nullable: Whether null is a value of it.
        default: What an older record, or JSON without the field, means, a time in ms; see `has_default`.
        has_default: Whether the schema gives a default (which may itself be null).
        non_finite_allowed: Whether NaN and infinities may pass (attribute `"non_finite": true` of a double).
        aliases: Names that older versions gave it.
        symbols: The allowed values of an enum, else empty.
        unknown_symbol: What an enum's symbol that this version does not know is read as.
        carrier: The Avro type that carries it on the wire: an int has 32 bits and a float is of single precision, in every format.
        logical: Its logical type, where that counts.
        path: Where others' records have it, from their root (attribute `"path": "a.b"`); empty: by its name.
        misplaced: A logical type that stands beside its type, where Avro ignores it.
    """

    name: str
    type: DataType
    nullable: bool
    default: object = None
    has_default: bool = False
    non_finite_allowed: bool = False
    aliases: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    unknown_symbol: str | None = None
    carrier: str | None = None
    logical: str | None = None
    path: tuple[str, ...] = ()
    misplaced: str | None = None

    @cached_property
    def is_single(self) -> bool:
        """Whether its numbers are floats: doubles that single precision holds."""
        return self.carrier == "float"

    @cached_property
    def is_32_bits(self) -> bool:
        """Whether its numbers are Avro's ints."""
        return self.carrier == "int"

    @cached_property
    def moment(self) -> str:
        """Of a timestamp: what its numbers on the wire are."""
        return self.logical or "timestamp-millis"

    @cached_property
    def expected(self) -> str:
        """What its values are, for messages: its type, or the Avro type that makes it narrower."""
        if self.type is DataType.TIMESTAMP:
            return self.moment
        return str(self.carrier) if self.is_32_bits or self.is_single else self.type

    @property
    def hint(self) -> str:
        """The end of a message that it is not of a type: why it may not be."""
        if self.misplaced is None:
            return ""
        inside = json.dumps({"type": self.carrier, "logicalType": self.misplaced})
        return f'; "logicalType" stands beside "type", where Avro ignores it: write "type": {inside}'


def parse_field(item: Mapping[str, Any], named: Mapping[str, Any]) -> Field:
    """One field of a parsed Avro record.

    Raises:
        ValueError: What is wrong with it.
    """
    kind, nullable = resolved(item["type"], named), False
    if isinstance(kind, list):
        rest = [branch for branch in kind if branch != "null"]
        if len(kind) != 2 or len(rest) != 1:
            raise ValueError(f"is a union of {json.dumps(kind)}; allowed: {ALLOWED}")
        kind, nullable = resolved(rest[0], named), True
    type_ = _data_type(kind)
    if type_ is None:
        raise ValueError(f"is {refusal(kind) or describe(kind)}; allowed: {ALLOWED}")
    non_finite = item.get("non_finite", False)
    if non_finite is not False and (non_finite is not True or type_ is not DataType.FLOAT64):
        raise ValueError('has a wrong "non_finite"; allowed: true on a float or double')
    path = item.get("path", item["name"])
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise ValueError(f'has a wrong "path" {json.dumps(path)}; allowed: names with dots between, e.g. "payment.amount"')
    enum = kind if isinstance(kind, Mapping) and kind["type"] == "enum" else {}
    carrier = kind["type"] if isinstance(kind, Mapping) else kind
    return Field(
        name=item["name"],
        type=type_,
        nullable=nullable,
        default=_default(item["default"], kind, type_, nullable) if "default" in item else None,
        has_default="default" in item,
        non_finite_allowed=non_finite,
        aliases=tuple(item.get("aliases", ())),
        symbols=tuple(enum.get("symbols", ())),
        unknown_symbol=enum.get("default"),
        carrier=carrier,
        logical=logical_type(kind),
        path=tuple(path.split(".")) if "path" in item else (),
        misplaced=item.get("logicalType") if logical_type(kind) is None else None,
    )


def single(value: float) -> float:
    """The nearest number of single precision."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def _data_type(kind: object) -> DataType | None:
    """The portable type of an Avro type, or None when there is none."""
    logical = logical_type(kind)
    if logical is not None:
        if logical in MOMENTS:
            return DataType.TIMESTAMP
        return DataType.INT64 if logical in TIMES_OF_DAY else DataType.STRING if logical == "uuid" else None
    name = kind["type"] if isinstance(kind, Mapping) else kind
    return DataType.STRING if name == "enum" else _SCALARS.get(str(name))


def _default(value: Any, kind: Any, type_: DataType, nullable: bool) -> object:
    """A default as our own value."""
    carrier, logical = (kind["type"] if isinstance(kind, Mapping) else kind), logical_type(kind)
    bits = 31 if carrier == "int" else 63
    if value is None and nullable:
        return None
    match type_:
        case DataType.BOOLEAN if isinstance(value, bool):
            return value
        case DataType.INT64 | DataType.TIMESTAMP if type(value) is int and -(2**bits) <= value < 2**bits:
            return value if type_ is DataType.INT64 else to_ms(value, logical or "timestamp-millis")
        case DataType.INT64 if type(value) is int and bits == 31:
            raise ValueError(f"has default {value}, which is no 32-bit integer")
        case DataType.FLOAT64 if type(value) in (int, float):
            return single(value) if carrier == "float" else float(value)
        case DataType.STRING if isinstance(value, str) and carrier == "fixed":
            octets = value.encode("latin-1", "replace")
            if len(octets) == kind["size"]:
                return uuid_text(octets)
        case DataType.STRING if isinstance(value, str) and (carrier != "enum" or value in kind["symbols"]):
            return value
    raise ValueError(f"has default {json.dumps(value)}, which is not a {type_}")
