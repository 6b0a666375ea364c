"""Which schemas Flink's own Avro format reads and writes as producers write them: those of trusted sources."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from schemas.logical import logical_type
from schemas.schema import Schema

MAGIC = -98
"""C3 01, the first bytes of single-object encoding, read as an Avro int: a varint of two bytes, zigzag."""

_TYPES = {"int": "BIGINT", "long": "BIGINT", "float": "FLOAT", "double": "DOUBLE", "boolean": "BOOLEAN", "string": "STRING"}
"""An Avro int and a long are the same bytes."""


def faults(schema: Schema) -> list[str]:
    """Why a source of this schema cannot be trusted; nothing when it can."""
    return [
        f'field "{name}" is {said}, which Flink\'s Avro format reads otherwise; a trusted source takes int, long, float, double, boolean, string, '
        "timestamp-millis, or [null, one of these] with null first"
        for name, said in ((field["name"], _other(field["type"])) for field in schema.avro["fields"])
        if said is not None
    ]


def columns(schema: Schema) -> dict[str, str]:
    """The Flink types that the format takes for a schema without `faults`, field → type; a timestamp is a BIGINT of ms or a TIMESTAMP_LTZ(3) alike."""
    return {field["name"]: _column(field["type"]) for field in schema.avro["fields"]}


def fingerprint(schema: Schema) -> float:
    """The fingerprint of the single-object header, as an Avro double of the same eight bytes."""
    number: float = struct.unpack("<d", schema.fingerprint)[0]
    return number


def _column(type_: object) -> str:
    if isinstance(type_, list):
        return _flink(type_[1])
    return f"{_flink(type_)} NOT NULL"


def _flink(type_: object) -> str:
    return _TYPES[str(type_["type"] if isinstance(type_, Mapping) else type_)]


def _other(type_: object) -> str | None:
    """What a type is called that the format does not take as it is written; None for one that it takes."""
    if isinstance(type_, list):
        if len(type_) != 2 or type_[0] != "null":
            return "a union with null behind"
        return _other(type_[1])
    plain = type_["type"] if isinstance(type_, Mapping) else type_
    logical = logical_type(type_)
    if logical not in (None, "timestamp-millis", "uuid"):
        return f"of type {logical}"
    return None if plain in _TYPES else f"of type {plain}"
