"""Which step reads a writer's type as a field of ours: promotions, unions, enums and logical types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from schemas.avro_logical_steps import Decimals, Uuid
from schemas.avro_steps import Boolean, Enum, Null, Real, Step, Text, Union, Whole
from schemas.logical import MOMENTS, decimal_digits, logical_type
from schemas.types import DataType

if TYPE_CHECKING:
    from schemas.field import Field


def resolved(kind: Any, named: Mapping[str, Any]) -> Any:
    """A parsed Avro type behind its name or its wrapping: a union, a primitive's name, or a mapping whose `type` is one's name."""
    for _ in range(100):  # names that are only names of names end somewhere
        if isinstance(kind, str) and kind in named:
            kind = named[kind]
        elif isinstance(kind, Mapping) and (isinstance(kind["type"], list | Mapping) or kind["type"] in named):
            kind = kind["type"]
        else:
            break
    return kind


def step_for(kind: Any, field: Field, named: Mapping[str, Any]) -> Step | str:
    """How a writer's type is read as the field, or why it cannot be."""
    kind = resolved(kind, named)
    if isinstance(kind, list):
        branches = tuple(step_for(branch, field, named) for branch in kind)
        values = [branch for branch in branches if isinstance(branch, Step) and not isinstance(branch, Null)]
        if not values:
            return next((branch for branch in branches if isinstance(branch, str)), f"expected {field.expected}, got only null")
        return Union(field=field.name, type=field.type, branches=branches)
    name, logical = (kind["type"] if isinstance(kind, Mapping) else kind), logical_type(kind)
    refused = f"expected {field.expected}, got {describe(kind)}"
    match name, field.type:
        case "null", _:
            return Null(type=field.type) if field.nullable else refused
        case "boolean", DataType.BOOLEAN:
            return Boolean(field=field.name)
        case (("int" | "long"), DataType.TIMESTAMP) if _is_moment(name, logical, field):
            return Whole(field=field.name, bits=32 if name == "int" else 64, type=field.type, moment=logical or field.logical)
        case (("int" | "long"), DataType.INT64 | DataType.FLOAT64) if not (name == "long" and field.is_32_bits) and (
            logical is None or field.logical in (None, logical)
        ):
            return Whole(field=field.name, bits=32 if name == "int" else 64, type=field.type, single=field.is_single)
        case (("float" | "double"), DataType.FLOAT64) if name == "float" or not field.is_single:
            return Real(bits=32 if name == "float" else 64)
        case (("bytes" | "fixed"), DataType.FLOAT64 | DataType.STRING) if logical == "decimal" and not (
            field.is_single or field.symbols or field.logical
        ):
            precision, scale = decimal_digits(kind) or (0, 0)
            size = int(kind["size"]) if name == "fixed" else None
            return Decimals(field=field.name, type=field.type, precision=precision, scale=scale, size=size)
        case (("string" | "bytes"), DataType.STRING) if logical in (None, "uuid") and not field.symbols and field.carrier != "fixed":
            return Text(field=field.name)
        case "fixed", DataType.STRING if (
            kind["size"] == 16 and not field.symbols and (logical == "uuid" or (logical is None and field.carrier == "fixed"))
        ):
            return Uuid()
        case "enum", DataType.STRING if field.carrier != "fixed":
            known = field.symbols or tuple(kind["symbols"])
            return Enum(field=field.name, symbols=tuple(s if s in known else field.unknown_symbol for s in kind["symbols"]))
        case _:
            return refused


def _is_moment(name: str, logical: str | None, field: Field) -> bool:
    """Whether a whole number is a moment: by its own logical type, or by the field's where it has none."""
    if field.logical == "date":
        return name == "int" and logical in (None, "date")
    return logical is None or logical in MOMENTS


def describe(kind: object) -> str:
    """An Avro type in a few words, for messages."""
    if isinstance(kind, list | tuple):
        return "a union of " + ", ".join(describe(branch) for branch in kind)
    if isinstance(kind, Mapping):
        return str(logical_type(kind) or (f"{kind['type']} {kind['name']}" if "name" in kind else kind["type"]))
    return str(kind)
