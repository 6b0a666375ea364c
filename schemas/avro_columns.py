"""Avro bytes → columns: a writer's schema resolved against the current one, then read for many records at once.

The rules are those of https://avro.apache.org/docs/1.12.0/specification/#schema-resolution, for records of portable types; a
writer's other fields are stepped over. Which step reads a type is said in `schemas.avro_types`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.avro_cursor import Column, Cursor, Rows, as_column
from schemas.avro_nested import Nested, Steps, read_steps
from schemas.avro_steps import Skip, Step
from schemas.avro_types import describe, resolved, step_for

if TYPE_CHECKING:
    from schemas.field import Field
    from schemas.schema import Schema

Writer = Mapping[str, Any] | Sequence[Any]
"""A parsed Avro schema: of a record, or of a union with one."""
Path = tuple[str, ...]


class Incompatible(Exception):
    """A writer's schema whose records cannot be read as the current one."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads records of one writer's schema as the current one.

    Attributes:
        steps: For each field of the writer in order: the current field's name (or None to drop it) and how it is read.
        constants: Fields that the writer does not have, with their default.
        branch: Where the writer's schema is a union: the number of its record, which each message begins with.
    """

    steps: Steps
    constants: tuple[Field, ...]
    branch: int | None = None

    def read(self, data: bytes, start: Rows, end: Rows) -> tuple[dict[str, Column], list[str | None]]:
        """Read one record between each start and end.

        Returns:
            Field name → column of n values, and for each record why it is refused, or None.
        """
        cursor = Cursor(data, start, end)
        rows = np.arange(len(start))
        if self.branch is not None:
            branch = cursor.whole(rows)
            wrong = branch != self.branch
            cursor.refuse(rows[wrong], "wrong-type: branch {} of the writer's union is not its record", branch[wrong])
        columns = read_steps(self.steps, cursor, rows)
        left = cursor.end - cursor.at
        for row in np.flatnonzero(left > 0).tolist():
            if cursor.faults[row] is None:
                cursor.faults[row] = f"over-long: {left[row]} byte{'s' if left[row] > 1 else ''} after the record"
        for field in self.constants:
            columns[field.name] = as_column([field.default] * len(rows), field.type)
        return columns, cursor.faults


def compile_reader(writer: Writer, current: Schema) -> Reader:
    """Resolve a writer's schema against the current one.

    Args:
        writer: A parsed Avro record schema, or a union with one record.
        current: What the records are read as.

    Raises:
        Incompatible: With the first field that cannot be read, or is missing without a default.
    """
    branch = None
    if not isinstance(writer, Mapping):
        records = [number for number, each in enumerate(writer) if isinstance(each, Mapping) and each.get("type") == "record"]
        if len(records) != 1:
            raise Incompatible(f"the writer's schema is {describe(writer)}, not a record")
        branch = records[0]
        writer = writer[branch]
    assert isinstance(writer, Mapping)
    if writer.get("type") != "record":
        raise Incompatible(f"the writer's schema is {describe(writer)}, not a record")
    named = writer.get("__named_schemas", {})
    leaves = _leaves(writer, current, named)
    missing = tuple(field for field in current.fields if field not in leaves.values())
    steps = tuple(_steps(writer, (), leaves, current.envelope, named))
    for field in missing:
        if not field.has_default:
            at = f' (nor anything at "{".".join(field.path)}")' if field.path else ""
            raise Incompatible(f'field "{field.name}" is not in the writer\'s schema{at} and has no default')
    return Reader(steps=steps, constants=missing, branch=branch)


def _leaves(writer: Mapping[str, Any], current: Schema, named: Mapping[str, Any]) -> dict[Path, Field]:
    """Where in the writer's record each field lies: at its path if its first step leads into a record there, else by its name or an alias."""
    leaves: dict[Path, Field] = {}
    for aliases in (False, True):  # names go first
        for field in current.fields:
            if field in leaves.values():
                continue
            path: Path = field.path if _leads_into(writer, field.path, named) else (field.name,)
            names = field.aliases if aliases else path[-1:]
            found = next((p for name in names if (p := (*path[:-1], name)) not in leaves and _has(writer, p, named)), None)
            if found is not None:
                leaves[found] = field
    return leaves


def _leads_into(writer: Mapping[str, Any], path: Path, named: Mapping[str, Any]) -> bool:
    item = next((item for item in writer["fields"] if path and item["name"] == path[0]), None)
    return item is not None and (len(path) == 1 or _record(item["type"], named) is not None)


def _has(writer: Mapping[str, Any], path: Path, named: Mapping[str, Any]) -> bool:
    item = next((item for item in writer["fields"] if item["name"] == path[0]), None)
    if item is None or len(path) == 1:
        return item is not None
    inner = _record(item["type"], named)
    return inner is not None and _has(inner, path[1:], named)


def _record(kind: Any, named: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The record that a type is, or that a union of it and others has; None where there is none, or several."""
    kind = resolved(kind, named)
    branches = [resolved(branch, named) for branch in (kind if isinstance(kind, list) else [kind])]
    records = [branch for branch in branches if isinstance(branch, Mapping) and branch["type"] == "record"]
    return records[0] if len(records) == 1 else None


def _steps(
    record: Mapping[str, Any], place: Path, leaves: Mapping[Path, Field], envelope: str | None, named: Mapping[str, Any]
) -> Iterator[tuple[str | None, Step | Nested]]:
    for item in record["fields"]:
        here = (*place, item["name"])
        field = leaves.get(here)
        below = tuple(field for path, field in leaves.items() if path[: len(here)] == here)
        if field is not None:
            step = step_for(item["type"], field, named)
            if isinstance(step, str):
                raise Incompatible(f'field "{field.name}": {step}')
            yield field.name, step
        elif not below:
            yield None, Skip(kind=item["type"], named=named)
        else:
            kind = resolved(item["type"], named)
            if not isinstance(kind, list):
                yield from _steps(kind, here, leaves, envelope, named)
            else:
                yield None, _nested(kind, here, below, leaves, envelope, named)


def _nested(
    union: Sequence[Any], here: Path, below: tuple[Field, ...], leaves: Mapping[Path, Field], envelope: str | None, named: Mapping[str, Any]
) -> Nested:
    needed = next((field.name for field in below if not field.nullable), None)
    at = ".".join(here)
    branches: list[Steps | str | None] = []
    for branch in union:
        kind = resolved(branch, named)
        if isinstance(kind, Mapping) and kind["type"] == "record":
            branches.append(tuple(_steps(kind, here, leaves, envelope, named)))
        elif kind != "null":
            branches.append(f'wrong-type: "{at}": expected a record, got {describe(kind)}')
        elif here == (envelope,):
            branches.append(no_record(at))
        else:
            branches.append(None if needed is None else f'missing: field "{needed}": "{at}" is null')
    return Nested(place=at, fields=below, branches=tuple(branches))


def no_record(at: str) -> str:
    """Why an envelope without its record is refused."""
    return f'no-record: "{at}" is null, as of a delete'
