"""Tables of records → columns, held to what the same records in Avro are: the values that Avro would carry, or a reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from schemas.avro_cursor import DTYPES, Column
from schemas.conform import check, convert
from schemas.envelope import Refused
from schemas.field import Field
from schemas.json_values import VALUES
from schemas.schema import Schema
from schemas.types import DataType


def read_table(table: pa.Table, schema: Schema) -> tuple[dict[str, Column], list[str | None]]:
    """Read the rows of a table; columns are found by name, others passed over.

    Args:
        table: n rows; what may stand for what is as of `schemas.conform`.
        schema: Of the records.

    Returns:
        Field name → column of n values, nulls among them also where a field allows none (`schemas.acceptance`), and for each row why it is
        refused, or None.

    Raises:
        DataError: A column is missing, of another type, or has a value that its type cannot hold.
    """
    where = f"table of {schema.name}"
    check(table.schema, schema.fields, where=where)
    held = convert(table, schema.fields, where=where, nulls=True)
    faults: list[str | None] = [None] * len(held)
    columns = {}
    for field in schema.fields:
        column = _column(held.column(field.name), field.type)
        columns[field.name] = _known(column, field, faults) if field.symbols else column
    return columns, faults


def _column(column: pa.ChunkedArray[Any], type_: DataType) -> Column:
    nulls = np.asarray(column.is_null())
    if type_ is DataType.STRING:
        return Column(values=np.array(column.to_pylist(), dtype=object), nulls=nulls)
    whole: Any = column.cast(pa.int64()) if type_ is DataType.TIMESTAMP else column
    nothing: Any = False if type_ is DataType.BOOLEAN else 0
    return Column(values=whole.fill_null(nothing).to_numpy().astype(DTYPES[type_]), nulls=nulls)


def _known(column: Column, field: Field, faults: list[str | None]) -> Column:
    """The symbols of an enum, each as JSON's is read."""
    values = column.values.copy()
    for row in np.flatnonzero(~column.nulls).tolist():
        try:
            values[row] = VALUES[field.type](values[row], field)
        except Refused as refused:
            faults[row] = faults[row] or str(refused)
    return Column(values=values, nulls=column.nulls)
