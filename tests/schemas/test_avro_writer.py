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

from schemas.arrow_numbers import texts
from schemas.avro_writer import BOOLEAN, DOUBLE, LONG, STRING, Rows, long, text

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


def maps(table: pa.Table) -> list[bytes]:
    rows = Rows(table.num_rows)
    add_map(rows, table)
    return rows.written()


def add_map(rows: Rows, table: pa.Table) -> None:
    """A table's columns as numbers; of texts and nulls anything."""
    branches: list[tuple[str, bytes]] = []
    numbers, valid, words = [], [], []
    for name, chunked in zip(table.column_names, table.columns, strict=True):
        column: Any = chunked.combine_chunks()
        valid.append(column.is_valid().to_numpy(zero_copy_only=False))
        if column.type == pa.string():
            branches.append((name, STRING))
            words.append(texts(column))
            numbers.append(np.full(len(table), 7))
        elif column.type == pa.float64():
            branches.append((name, DOUBLE))
            numbers.append(column.fill_null(3.5).to_numpy(zero_copy_only=False).view(np.int64))
        else:
            branches.append((name, BOOLEAN if column.type == pa.bool_() else LONG))
            numbers.append(column.cast(pa.int64()).fill_null(9).to_numpy(zero_copy_only=False))
    shape = (len(branches), len(table))
    rows.map(tuple(branches), np.array(numbers, dtype=np.int64).reshape(shape), np.array(valid, dtype=np.bool_).reshape(shape), words)


def read(body: bytes) -> dict[str, Any]:
    stream = io.BytesIO(body)
    record = schemaless_reader(stream, SCHEMA, None)
    assert stream.read() == b""
    assert isinstance(record, dict)
    return record


@settings(max_examples=150)
@given(tables())
def test_each_row_is_read_back_as_it_was(table: pa.Table) -> None:
    rows = [read(row) for row in maps(table)]
    plain = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.columns]
    cells = zip(*(column.to_pylist() for column in plain), strict=True) if plain else [()] * table.num_rows
    expected = [dict(zip(table.column_names, row, strict=True)) for row in cells]
    assert rows == expected
    assert [list(row) for row in rows] == [table.column_names] * table.num_rows
    assert repr(rows) == repr(expected)  # which tells -0.0 from 0.0, and True from 1


def test_chunks_and_slices_are_columns_like_others() -> None:
    whole = pa.table({"a": pa.chunked_array([[1, None], [-300]]), "b": pa.chunked_array([["x"], ["y", "z"]])})
    for table in (whole, whole.slice(1), pa.concat_tables([whole.slice(2), whole])):
        assert [read(row) for row in maps(table)] == table.to_pylist()


@pytest.mark.parametrize("value", [0, -1, 63, 64, -64, -65, 2**31, -(2**63), 2**63 - 1])
def test_a_long_alone_is_the_same_as_in_a_column(value: int) -> None:
    assert schemaless_reader(io.BytesIO(long(value)), {"type": "long"}, None) == value
    assert maps(pa.table({"a": pa.array([value], type=pa.int64())})) == [b"\x02\x02a\x04" + long(value) + b"\x00"]


@given(st.lists(LONGS))
def test_longs_for_themselves_are_the_same_as_alone(values: list[int]) -> None:
    rows = Rows(len(values))
    rows.longs(np.array(values, dtype=np.int64))
    assert rows.written() == [long(value) for value in values]


def test_not_a_number_and_infinities_keep_their_bits() -> None:
    values = np.array([math.nan, math.inf, -math.inf, -0.0, *np.array([0x7FF8_0000_0000_1234, 1], dtype=np.uint64).view(np.float64)])
    read_back = [read(row)["a"] for row in maps(pa.table({"a": values}))]
    assert np.array(read_back).tobytes() == values.tobytes()


@given(st.integers(0, 5), st.sampled_from([0, 1, 3, 63, 64, 200]))
def test_rows_of_a_matrix_are_arrays_of_doubles(n: int, columns: int) -> None:
    matrix = np.random.default_rng(n).normal(size=(n, columns))
    schema = parse_schema({"type": "array", "items": "double"})
    rows = Rows(n)
    rows.double_arrays(matrix)
    streams = [io.BytesIO(body) for body in rows.written()]
    assert [schemaless_reader(stream, schema, None) for stream in streams] == matrix.tolist()
    assert [stream.read() for stream in streams] == [b""] * n


@given(st.integers(0, 5), st.data())
def test_a_record_of_every_sort_of_field(n: int, data: st.DataObject) -> None:
    """Fields beside one another, nulls and names among them: each is passed over alone."""
    schema = parse_schema(
        {
            "type": "record",
            "name": "every",
            "fields": [
                {"name": "unseen", "type": {"type": "array", "items": "string"}},
                {"name": "constant", "type": "string"},
                {"name": "stale", "type": "boolean"},
                {"name": "numbers", "type": {"type": "map", "values": ["null", "boolean", "long", "double", "string"]}},
                {"name": "id", "type": "string"},
                {"name": "again", "type": {"type": "array", "items": "string"}},
                {"name": "values", "type": {"type": "map", "values": ["null", "boolean", "long", "double", "string"]}},
                {"name": "score", "type": "double"},
            ],
        }
    )

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return data.draw(st.lists(values, min_size=n, max_size=n))

    names = ["a view", "é", "c" * 70]
    unseen, again = ([{name: data.draw(st.booleans()) for name in names} for _ in range(n)] for _ in range(2))
    expected = {
        "stale": column(st.booleans()),
        "numbers": column(
            st.fixed_dictionaries({"d": st.none() | st.text(max_size=3), "e": st.none() | st.booleans(), "f": st.none() | LONGS})
        ),
        "id": column(st.text(max_size=70)),
        "values": column(
            st.fixed_dictionaries({"a": st.none() | st.text(max_size=3), "b": st.none() | st.booleans(), "c": st.none() | LONGS})
        ),
        "score": column(st.floats(allow_nan=False)),
    }
    more = {"d": pa.string(), "e": pa.bool_(), "f": pa.int64()}
    rows = Rows(n)
    rows.names({name: np.array([row[name] for row in unseen], dtype=bool) for name in names})
    rows.same(text("the"))
    rows.booleans(np.array(expected["stale"], dtype=bool))
    add_map(rows, pa.table({name: pa.array([row[name] for row in expected["numbers"]], type=kind) for name, kind in more.items()}))
    rows.texts([each.encode() for each in expected["id"]])
    rows.names({name: np.array([row[name] for row in again], dtype=bool) for name in names})
    kinds = {"a": pa.string(), "b": pa.bool_(), "c": pa.int64()}
    add_map(rows, pa.table({name: pa.array([row[name] for row in expected["values"]], type=kind) for name, kind in kinds.items()}))
    rows.doubles(np.array(expected["score"], dtype=np.float64))
    for number, body in enumerate(rows.written()):
        stream = io.BytesIO(body)
        assert schemaless_reader(stream, schema, None) == {
            "unseen": [name for name in names if unseen[number][name]],
            "constant": "the",
            "again": [name for name in names if again[number][name]],
            **{name: values[number] for name, values in expected.items()},
        }
        assert stream.read() == b""
