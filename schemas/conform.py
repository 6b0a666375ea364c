"""Tables of records: a file's columns checked against a schema, and brought to its types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.acceptance import rules
from schemas.accepted import rule_of, values_of
from schemas.errors import DataError
from schemas.field import Field
from schemas.schema import Schema
from schemas.wording import cause


def conform(table: pa.Table, schema: Schema, *, where: str) -> pa.Table:
    """The schema's columns of a table, in its order and types.

    What is taken for what is listed in `schemas.accepted`; a number for a float is rounded to single precision. A column may be left out where the
    field has a default or may be null. Other columns are dropped.

    Args:
        table: The data.
        schema: What it should hold.
        where: For messages: the file.

    Raises:
        DataError: In one line, every column that is missing, of another type, or with values that the field cannot hold.
    """
    check(table.schema, schema.fields, where=where)
    return convert(table, schema.fields, where=where)


def check(columns: pa.Schema, fields: Sequence[Field], *, where: str, faults: Iterable[str] = ()) -> None:
    """Refuse columns that lack a field or store it as something else.

    Args:
        columns: What a table has.
        fields: What it should hold.
        where: For messages: the file.
        faults: What else is wrong with it.

    Raises:
        DataError: All that is wrong, in one line.
    """
    found = ((field.name, _column_fault(columns, field)) for field in fields)
    _refuse(where, [*faults, *(f'column "{name}" {fault}' for name, fault in found if fault is not None)])


def convert(table: pa.Table, fields: Sequence[Field], *, where: str, first_row: int = 0, nulls: bool = False) -> pa.Table:
    """The fields' columns of a table that was checked, in their order and types.

    Args:
        table: The data.
        fields: What it should hold.
        where: For messages: the file.
        first_row: How many rows of the file lie before the table's.
        nulls: Let nulls pass where the field allows none.

    Raises:
        DataError: In one line, every column with a value that its field cannot hold.
    """
    columns: list[pa.ChunkedArray[Any]] = []
    problems: list[str] = []
    for field in fields:
        try:
            column = _converted(table, field)
        except pa.ArrowException as error:
            problems.append(unheld(field, cause(error)))
            continue
        columns.append(column)
        if column.null_count and not field.nullable and not nulls:
            row = first_row + pc.index(column.is_null(), True).as_py() + 1
            problems.append(f'column "{field.name}" is null in row {row:,}; the schema allows none')
    _refuse(where, problems)
    return pa.table(columns, schema=arrow(fields, nulls=nulls))


def unheld(field: Field, why: str) -> str:
    """That a column has a value which its field cannot hold."""
    return f'column "{field.name}" cannot be read as {field.type}: {why}'


def allowed(table: pa.Table, fields: Iterable[Field], *, event_time: str, earliest_ms: int | None) -> pa.Table:
    """The rows of a converted table that a backfill counts, as the gate of the stream does: without nulls, numbers and times that fields refuse.

    Args:
        table: From `convert`.
        fields: All of the schema.
        event_time: The source's.
        earliest_ms: Its earliest, if it declares one.
    """
    good = np.ones(len(table), dtype=np.bool_)
    for rule in rules(fields, event_time=event_time, earliest_ms=earliest_ms):
        column: Any = table[rule.field]
        numbers = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        is_number = pa.types.is_integer(numbers.type) or pa.types.is_floating(numbers.type)
        values = numbers.fill_null(0).to_numpy() if is_number else np.zeros(len(table))
        good &= ~rule.breaks(values, np.asarray(column.is_valid()))
    return table.filter(pa.array(good))


def arrow(fields: Iterable[Field], *, nulls: bool = False) -> pa.Schema:
    """The columns of a table of such fields; with `nulls`, all of them may be null."""
    return pa.schema([pa.field(field.name, field.type.arrow, nullable=field.nullable or nulls) for field in fields])


def _column_fault(columns: pa.Schema, field: Field) -> str | None:
    count = columns.names.count(field.name)
    if count > 1:
        return f"is there {count} times"
    if count == 0:
        if field.has_default or field.nullable:
            return None
        near = get_close_matches(field.name, columns.names, n=1)
        return f'is missing (did you mean "{near[0]}"?)' if near else f"is missing (expected {field.type.arrow})"
    stored = columns.field(field.name).type
    return None if rule_of(stored, field.type) is not None else f"is {stored}; expected {field.type.arrow}"


def _converted(table: pa.Table, field: Field) -> pa.ChunkedArray[Any]:
    if field.name not in table.column_names:
        return pa.chunked_array([pa.array([field.default] * len(table), type=field.type.arrow)])
    column = table[field.name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(values_of(column.type))
    rule = rule_of(column.type, field.type)
    assert rule is not None, "checked before"
    read: Callable[[pa.ChunkedArray[Any]], pa.ChunkedArray[Any]] = rule.read
    values = read(column)
    return values.cast(pa.float32(), safe=False).cast(field.type.arrow) if field.is_single else values  # as the wire carries it


def _refuse(where: str, problems: Sequence[str]) -> None:
    if problems:
        raise DataError(f"{where}: {'; '.join(problems)}")
