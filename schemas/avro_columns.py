"""Avro bytes → columns: a writer's schema resolved against the current one, then read for many records at once.

The rules are those of https://avro.apache.org/docs/1.12.0/specification/#schema-resolution, for records of portable types; a
writer's other fields are stepped over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.avro_cursor import Column, Cursor, Rows, as_column
from schemas.avro_steps import Boolean, Enum, Null, Real, Skip, Step, Text, Union, Whole
from schemas.types import DataType

if TYPE_CHECKING:
    from schemas.record import Field, Schema


class Incompatible(Exception):
    """A writer's schema whose records cannot be read as the current one."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads records of one writer's schema as the current one.

    Attributes:
        steps: For each field of the writer in order: the current field's name (or None to drop it) and how it is read.
        constants: Fields that the writer does not have, with their default.
    """

    steps: tuple[tuple[str | None, Step], ...]
    constants: tuple[Field, ...]

    def read(self, data: bytes, start: Rows, end: Rows) -> tuple[dict[str, Column], list[str | None]]:
        """Read one record between each start and end.

        Returns:
            Field name → column of n values, and for each record why it is refused, or None.
        """
        cursor = Cursor(data, start, end)
        rows = np.arange(len(start))
        columns: dict[str, Column] = {}
        for name, step in self.steps:
            column = step.read(cursor, rows)
            if name is not None:
                columns[name] = column
        left = cursor.end - cursor.at
        for row in np.flatnonzero(left > 0).tolist():
            if cursor.faults[row] is None:
                cursor.faults[row] = f"over-long: {left[row]} byte{'s' if left[row] > 1 else ''} after the record"
        for field in self.constants:
            columns[field.name] = as_column([field.default] * len(rows), field.type)
        return columns, cursor.faults


def compile_reader(writer: Mapping[str, Any], current: Schema) -> Reader:
    """Resolve a writer's schema against the current one.

    Args:
        writer: A parsed Avro record schema.
        current: What the records are read as.

    Raises:
        Incompatible: With the first field that cannot be read, or is missing without a default.
    """
    named = writer.get("__named_schemas", {})
    if writer.get("type") != "record":
        raise Incompatible(f"the writer's schema is {describe(writer)}, not a record")
    wanted = {name: field for field in current.fields for name in (*field.aliases, field.name)}
    written = {item["name"] for item in writer["fields"]}
    taken: set[str] = set()
    steps: list[tuple[str | None, Step]] = []
    for item in writer["fields"]:
        field = wanted.get(item["name"])
        if field is None or field.name in taken or (item["name"] != field.name and field.name in written):
            steps.append((None, Skip(kind=item["type"], named=named)))
            continue
        taken.add(field.name)
        step = _step(item["type"], field, named)
        if isinstance(step, str):
            raise Incompatible(f'field "{field.name}": {step}')
        steps.append((field.name, step))
    missing = [field for field in current.fields if field.name not in taken]
    for field in missing:
        if not field.has_default:
            raise Incompatible(f'field "{field.name}" is not in the writer\'s schema and has no default')
    return Reader(steps=tuple(steps), constants=tuple(missing))


def _step(kind: Any, field: Field, named: Mapping[str, Any]) -> Step | str:
    """How a writer's type is read as the field, or why it cannot be."""
    if isinstance(kind, str) and kind in named:
        kind = named[kind]
    if isinstance(kind, list):
        branches = tuple(_step(branch, field, named) for branch in kind)
        values = [branch for branch in branches if isinstance(branch, Step) and not isinstance(branch, Null)]
        if not values:
            return next((branch for branch in branches if isinstance(branch, str)), f"expected {field.expected}, got only null")
        return Union(field=field.name, type=field.type, branches=branches)
    name = kind["type"] if isinstance(kind, Mapping) else kind
    logical = kind.get("logicalType") if isinstance(kind, Mapping) else None
    refused = f"expected {field.expected}, got {describe(kind)}"
    if isinstance(name, dict | list):
        return _step(name, field, named)
    match name, field.type:
        case "null", _:
            return Null(type=field.type) if field.nullable else refused
        case "boolean", DataType.BOOLEAN:
            return Boolean(field=field.name)
        case (("int" | "long"), DataType.TIMESTAMP) if logical in (None, "timestamp-millis"):
            return Whole(field=field.name, bits=32 if name == "int" else 64, type=field.type)
        case (("int" | "long"), DataType.INT64 | DataType.FLOAT64) if logical is None and not (name == "long" and field.is_32_bits):
            return Whole(field=field.name, bits=32 if name == "int" else 64, type=field.type, single=field.is_single)
        case (("float" | "double"), DataType.FLOAT64) if name == "float" or not field.is_single:
            return Real(bits=32 if name == "float" else 64)
        case (("string" | "bytes"), DataType.STRING) if logical in (None, "uuid") and not field.symbols:
            return Text(field=field.name)
        case "enum", DataType.STRING:
            known = field.symbols or tuple(kind["symbols"])
            return Enum(field=field.name, symbols=tuple(s if s in known else field.unknown_symbol for s in kind["symbols"]))
        case _:
            return refused


def describe(kind: object) -> str:
    """An Avro type in a few words, for messages."""
    if isinstance(kind, list):
        return "a union of " + ", ".join(describe(branch) for branch in kind)
    if isinstance(kind, Mapping):
        return str(kind.get("logicalType") or (f"{kind['type']} {kind['name']}" if "name" in kind else kind["type"]))
    return str(kind)
