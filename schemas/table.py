"""Tables of records: a file's columns checked against a schema, and brought to its types."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import DataError
from schemas.field import Field
from schemas.record import Schema
from schemas.types import DataType

_TAKEN: dict[DataType, Callable[[pa.DataType], bool]] = {
    DataType.BOOLEAN: pa.types.is_boolean,
    DataType.INT64: pa.types.is_integer,
    DataType.FLOAT64: lambda type_: bool(pa.types.is_floating(type_) or pa.types.is_integer(type_)),
    DataType.STRING: lambda type_: bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)),
    DataType.TIMESTAMP: pa.types.is_timestamp,
}


def conform(table: pa.Table, schema: Schema, *, where: str) -> pa.Table:
    """The schema's columns of a table, in its order and types.

    Any integer is taken for an int64, any number for a double (rounded to single precision where the schema has a float), any timestamp for one in ms UTC (finer ones are cut; without a
    zone they are UTC). A column may be left out where the field has a default or may be null. Other columns are dropped.

    Args:
        table: The data.
        schema: What it should hold.
        where: For messages: the file.

    Raises:
        DataError: In one line, every column that is missing, of another type, or with nulls where none are allowed.
    """
    columns: list[pa.ChunkedArray[Any]] = []
    problems: list[str] = []
    for field in schema.fields:
        found = _column(table, field)
        if isinstance(found, str):
            problems.append(f'column "{field.name}" {found}')
        else:
            columns.append(found)
    if problems:
        raise DataError(f"{where}: {'; '.join(problems)}")
    return pa.table(columns, schema=schema.arrow)


def _column(table: pa.Table, field: Field) -> pa.ChunkedArray[Any] | str:
    """The field's column, or what is wrong with it."""
    count = table.column_names.count(field.name)
    if count > 1:
        return f"is there {count} times"
    if count == 0:
        if field.has_default or field.nullable:
            return pa.chunked_array([pa.array([field.default] * len(table), type=field.type.arrow)])
        near = get_close_matches(field.name, table.column_names, n=1)
        return f'is missing (did you mean "{near[0]}"?)' if near else f"is missing (expected {field.type.arrow})"
    column = table[field.name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        column = column.cast(field.type.arrow)
    if not _TAKEN[field.type](column.type):
        return f"is {column.type}; expected {field.type.arrow}"
    if column.null_count and not field.nullable:
        first = pc.index(column.is_null(), True).as_py() + 1
        return f"has {column.null_count} null{'s' if column.null_count > 1 else ''} (the first in row {first}); the schema allows none"
    try:
        if field.type is DataType.TIMESTAMP and column.type.unit in ("us", "ns"):
            column = pc.floor_temporal(column, unit="millisecond")
        if field.is_single:
            column = column.cast(pa.float64()).cast(pa.float32(), safe=False)
        return column.cast(field.type.arrow)
    except pa.ArrowException as error:
        return f"cannot be read as {field.type}: {str(error).splitlines()[0]}"
