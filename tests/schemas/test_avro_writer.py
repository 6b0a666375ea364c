"""Whole columns are written as Avro says, value by value: read back with fastavro."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastavro import parse_schema, schemaless_reader
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.avro_writer import double_arrays, doubles, long, longs, maps

SCHEMA = parse_schema({"type": "map", "values": ["null", "boolean", "long", "double", "string"]})
LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70)
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "long": (pa.int64(), LONGS),
    "int": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "double": (pa.float64(), st.floats(allow_nan=False)),
    "boolean": (pa.bool_(), st.booleans()),
    "string": (pa.string(), st.text(max_size=70)),
    "time": (pa.timestamp("ms", tz="UTC"), st.integers(-(2**40), 2**40)),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    n = draw(st.integers(0, 9))
    columns = {}
    for number, kind in enumerate(draw(st.lists(st.sampled_from(sorted(KINDS)), max_size=6))):
        type_, values = KINDS[kind]
        cell = values if draw(st.booleans()) else st.none() | values
        columns[f"{kind}_{number}"] = pa.array(draw(st.lists(cell, min_size=n, max_size=n)), type=type_)
    return pa.table(columns) if columns else pa.table({"a": pa.array([0] * n)}).select([])


def read(body: bytes) -> dict[str, Any]:
    stream = io.BytesIO(body)
    record = schemaless_reader(stream, SCHEMA, None)
    assert stream.read() == b""
    assert isinstance(record, dict)
    return record


@settings(max_examples=150)
@given(tables())
def test_each_row_is_read_back_as_it_was(table: pa.Table) -> None:
    rows = [read(b"".join(row)) for row in zip(*maps(table), strict=True)]
    plain = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.columns]
    cells = zip(*(column.to_pylist() for column in plain), strict=True) if plain else [()] * table.num_rows
    expected = [dict(zip(table.column_names, row, strict=True)) for row in cells]
    assert rows == expected
    assert [list(row) for row in rows] == [table.column_names] * table.num_rows
    assert repr(rows) == repr(expected)  # which tells -0.0 from 0.0, and True from 1


def test_chunks_and_slices_are_columns_like_others() -> None:
    whole = pa.table({"a": pa.chunked_array([[1, None], [-300]]), "b": pa.chunked_array([["x"], ["y", "z"]])})
    for table in (whole, whole.slice(1), pa.concat_tables([whole.slice(2), whole])):
        assert [read(b"".join(row)) for row in zip(*maps(table), strict=True)] == table.to_pylist()


@pytest.mark.parametrize("value", [0, -1, 63, 64, -64, -65, 2**31, -(2**63), 2**63 - 1])
def test_a_long_alone_is_the_same_as_in_a_column(value: int) -> None:
    assert schemaless_reader(io.BytesIO(long(value)), {"type": "long"}, None) == value
    (row,) = zip(*maps(pa.table({"a": pa.array([value], type=pa.int64())})), strict=True)
    assert b"".join(row) == b"\x02\x02a\x04" + long(value) + b"\x00"


@given(st.lists(LONGS))
def test_longs_for_themselves_are_the_same_as_alone(values: list[int]) -> None:
    assert longs(np.array(values, dtype=np.int64)) == [long(value) for value in values]


def test_not_a_number_and_infinities_keep_their_bits() -> None:
    values = np.array([math.nan, math.inf, -math.inf, -0.0])
    assert [schemaless_reader(io.BytesIO(body), {"type": "double"}, None) for body in doubles(values)][1:3] == [math.inf, -math.inf]
    rows = [read(b"".join(row)) for row in zip(*maps(pa.table({"a": values})), strict=True)]
    assert np.array([row["a"] for row in rows]).tobytes() == values.tobytes()


@given(st.integers(0, 5), st.sampled_from([0, 1, 3, 63, 64, 200]))
def test_rows_of_a_matrix_are_arrays_of_doubles(n: int, columns: int) -> None:
    matrix = np.random.default_rng(n).normal(size=(n, columns))
    schema = parse_schema({"type": "array", "items": "double"})
    streams = [io.BytesIO(body) for body in double_arrays(matrix)]
    assert [schemaless_reader(stream, schema, None) for stream in streams] == matrix.tolist()
    assert [stream.read() for stream in streams] == [b""] * n
