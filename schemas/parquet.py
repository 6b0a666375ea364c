"""Parquet files from anywhere: found, looked into, and read batch by batch as a schema's columns. Every reader of such files comes here.

file ─footer, folders' names─▶ `ParquetFile` ─check─▶ refused, in one line; or ─tables─▶ columns of the schema's types (schemas/accepted)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas import folders
from schemas.accepted import is_uuid
from schemas.conform import arrow, check, convert
from schemas.errors import DataError, SettingError
from schemas.field import Field

BATCH_ROWS = 65_536
_LAST_NS = 2**63
_ROWS = "#rows"  # carries the count of rows where a file has none of the columns


def files_of(path: Path, *, what: str) -> tuple[Path, ...]:
    """The file at a path, or all Parquet files below the folder there.

    Args:
        path: What was named.
        what: For messages: the option, or the command.

    Raises:
        SettingError: There is nothing, or it may not be looked at.
        DataError: A folder below it may not be looked into.
    """
    try:
        there, is_folder = path.exists(), path.is_dir()
    except OSError as fault:
        raise SettingError(f"{what}: {path} cannot be read: {fault.strerror or fault}") from None
    if not there:
        raise SettingError(f"{what}: {path} does not exist; it is a Parquet file, or a folder of them")
    files = parquet_files(path) if is_folder else (path,)
    if not files:
        raise SettingError(f"{what}: {path} holds no Parquet file")
    return files


def parquet_files(folder: Path) -> tuple[Path, ...]:
    """The Parquet files below a folder, by path: `*.parquet`, and `part-*` as engines write them; hidden and unfinished ones left out.

    Raises:
        DataError: A folder below it may not be looked into: what is missing would not be noticed.
    """
    found = []
    try:
        for parent, below, names in os.walk(folder, onerror=_missed):
            below[:] = [name for name in below if not name.startswith((".", "_"))]
            paths = [Path(parent) / name for name in names if not name.startswith((".", "_"))]
            found += [path for path in paths if (path.suffix == ".parquet" or path.name.startswith("part-")) and path.is_file()]
    except OSError as fault:
        raise DataError(f"{fault.filename}: cannot be read: {fault.strerror or fault}") from None
    return tuple(sorted(found))


def _missed(fault: OSError) -> None:
    raise fault


def read(path: Path, fields: Sequence[Field], *, what: str) -> Iterator[pa.Table]:
    """The rows of a file, or of all below a folder, in the fields' types, some thousand at a time.

    All files are looked into before the first row is read. The first table may have no rows.

    Raises:
        SettingError: There is no such file.
        DataError: A file is not Parquet, or lacks a column, or has one of another type, or with values or nulls that the field does not allow.
    """
    files = files_of(path, what=what)
    for file in files:
        ParquetFile.open(file, root=path).check(fields)
    yield arrow(fields).empty_table()
    for file in files:
        yield from ParquetFile.open(file, root=path).tables(fields)


@dataclass(frozen=True, kw_only=True)
class ParquetFile:
    """A file, as its footer and the names of its folders tell of it.

    Attributes:
        path: Where it is.
        bytes: Its size.
        folders: Column → the text that its folder gives it, null of the null partition.
        metadata: The footer.
    """

    path: Path
    bytes: int
    folders: dict[str, str | None]
    metadata: pq.FileMetaData = field(repr=False)

    @classmethod
    def open(cls, path: Path, *, root: Path) -> ParquetFile:
        """Look into a file.

        Args:
            path: The file.
            root: The folder that was named, or the file itself: folders' names below it are columns (see `folders.values_of`).

        Raises:
            DataError: It is not Parquet, or cannot be read.
        """
        found = folders.values_of(path.absolute(), path.absolute().parent if root == path else root.absolute())
        try:
            with path.open("rb") as stream:
                metadata = pq.read_metadata(stream)
                return cls(path=path, bytes=stream.seek(0, 2), folders=found, metadata=metadata)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from None

    @cached_property
    def _stored(self) -> pa.Schema:
        return self.metadata.schema.to_arrow_schema()

    @cached_property
    def columns(self) -> pa.Schema:
        """Its columns as they are read: UUIDs as such, and times of 96 bits in the unit that holds them."""
        return pa.schema([self._column(column, leaf) for column, leaf in zip(self._stored, self.leaves, strict=True)])

    @property
    def unit_of_int96(self) -> Literal["ms", "ns"]:
        """What times of 96 bits are read as: in ms all are held, but Arrow's own files have negative parts of a day, which only ns add up with."""
        return "ns" if self.metadata.created_by.startswith("parquet-cpp") else "ms"

    def is_int96(self, leaf: int) -> bool:
        """Whether a leaf is a time of 96 bits, as old engines write them."""
        return self.metadata.schema.column(leaf).physical_type == "INT96"

    @cached_property
    def leaves(self) -> list[int]:
        """For each column the number of its first leaf: names alone cannot tell a column `a.b` from the `b` of a column `a`."""
        found, next_ = [], 0
        for column in self._stored:
            found.append(next_)
            next_ += _leaves(column.type)
        return found

    def leaf(self, name: str) -> int:
        """The number of a flat column's leaf."""
        return self.leaves[self.columns.get_field_index(name)]

    def range_of(self, name: str, groups: Iterable[int] | None = None) -> tuple[int, int] | None:
        """The least and greatest value of a flat column of signed numbers or times, as they are stored, by the statistics of its row groups.

        None where they do not tell.
        """
        leaf, found = self.leaf(name), []
        for number in range(self.metadata.num_row_groups) if groups is None else groups:
            column = self.metadata.row_group(number).column(leaf)
            statistics: Any = column.statistics
            if statistics is not None and statistics.null_count == column.num_values:
                continue
            if statistics is None or not statistics.has_min_max:
                return None
            found.append((int(statistics.min_raw), int(statistics.max_raw)))
        return (min(low for low, _ in found), max(high for _, high in found)) if found else None

    def check(self, fields: Sequence[Field]) -> None:
        """Refuse a file that lacks a field, or has it as something else.

        Raises:
            DataError: All that is wrong, in one line.
        """
        types = {field.name: field.type for field in fields if field.name in self.folders}
        alone = [pa.field(name, types[name].arrow) for name in types if name not in self.columns.names]
        check(
            pa.schema([*self.columns, *alone]) if alone else self.columns,
            fields,
            where=str(self.path),
            faults=folders.faults(self.folders, types),
        )

    def tables(self, fields: Sequence[Field], *, groups: Iterable[int] | None = None, nulls: bool = False) -> Iterator[pa.Table]:
        """Its rows in the fields' types, never those of two row groups in one table.

        Args:
            fields: What it should hold; checked before.
            groups: Only these row groups.
            nulls: Let nulls pass where a field allows none.

        Raises:
            DataError: A value or null that its field does not allow; or it is damaged.
        """
        names = [field.name for field in fields if field.name in self.columns.names]
        schema = pa.schema([self.columns.field(name) for name in names])
        for first_row, batch in self._batches(names, groups):
            columns = [_as(batch[item.name], item) for item in schema]
            stored = pa.Table.from_arrays([*columns, pa.nulls(len(batch))], names=[*names, _ROWS])
            whole = self._with_folders(stored, fields, first_row)
            yield convert(whole, fields, where=str(self.path), first_row=first_row, nulls=nulls)

    def _batches(self, names: list[str], groups: Iterable[int] | None) -> Iterator[tuple[int, pa.Table]]:
        """Rows of some columns, and how many rows are before them."""
        rows = [self.metadata.row_group(number).num_rows for number in range(self.metadata.num_row_groups)]
        before = [0, *accumulate(rows)]
        try:
            with pq.ParquetFile(self.path, metadata=self.metadata, coerce_int96_timestamp_unit=self.unit_of_int96) as file:
                for number in range(len(rows)) if groups is None else groups:
                    first_row = before[number]
                    if not names:
                        yield first_row, pa.table({_ROWS: pa.nulls(rows[number])})
                        continue
                    for batch in file.iter_batches(BATCH_ROWS, row_groups=[number], columns=names):
                        self._refuse_far(pa.Table.from_batches([batch]), number, first_row - before[number])
                        yield first_row, pa.Table.from_batches([batch])
                        first_row += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path, error) from None

    def _refuse_far(self, batch: pa.Table, group: int, begin: int) -> None:
        """Refuse times of 96 bits that ns do not hold, in which alone Arrow's own negative parts of a day add up: there they come out as others."""
        names = [name for name in batch.column_names if self.unit_of_int96 == "ns" and self.is_int96(self.leaf(name))]
        if not names:
            return
        with pq.ParquetFile(self.path, metadata=self.metadata, coerce_int96_timestamp_unit="ms") as file:
            plain = file.read_row_group(group, columns=names).slice(begin, len(batch))
        for name in names:
            held, told = (_numbers(table[name]) for table in (batch, plain))
            # A negative part of a day is read as one of 2⁶⁴ ns less, so that it lies beyond 2262, and not beyond 2554.
            far = (held // 1_000_000 != told) & ((told < _LAST_NS // 1_000_000) | (told > 2 * _LAST_NS // 1_000_000 + 1))
            if far.any():
                raise DataError(
                    f'{self.path}: column "{name}" has a time of 96 bits beyond the years 1677 to 2262, which Arrow does not tell from others'
                )

    def _with_folders(self, table: pa.Table, fields: Sequence[Field], first_row: int) -> pa.Table:
        """With the columns that stand in folders' names; where the file has them too, they must say the same."""
        for item in fields:
            if item.name not in self.folders:
                continue
            value = pa.scalar(folders.typed(self.folders[item.name], item.type), item.type.arrow)
            if item.name not in table.column_names:
                table = table.append_column(item.name, pa.array([value.as_py()] * len(table), item.type.arrow))
                continue
            own: Any
            (own,) = convert(table.select([item.name]), [item], where=str(self.path), first_row=first_row, nulls=True).columns
            same: Any = pc.is_null(own) if not value.is_valid else pc.fill_null(pc.equal(own, value), False)
            if not pc.all(same).as_py():
                row = pc.index(same, False).as_py()
                raise DataError(
                    f'{self.path}: column "{item.name}" is {_shown(own[row])} in row {first_row + row + 1:,}, and {_shown(value)} by its folder'
                )
        return table

    def _column(self, column: pa.Field[Any], leaf: int) -> pa.Field[Any]:
        stored = self.metadata.schema.column(leaf)
        if pa.types.is_fixed_size_binary(column.type) and stored.logical_type.type == "UUID":
            if not hasattr(pa, "uuid"):  # as where pip installed Flink alone: see infra/extras.py
                raise DataError(
                    f'{self.path}: column "{column.name}" holds UUIDs, which pyarrow {pa.__version__} cannot read; install pyarrow 20.0.0'
                )
            return column.with_type(pa.uuid())
        return column.with_type(pa.timestamp(self.unit_of_int96)) if self.is_int96(leaf) and not column.type.num_fields else column


def _as(column: pa.ChunkedArray[Any], wanted: pa.Field[Any]) -> pa.ChunkedArray[Any]:
    """A column as `ParquetFile.columns` names its type."""
    if not is_uuid(wanted.type) or is_uuid(column.type):
        return column
    chunks: Any = [pa.ExtensionArray.from_storage(pa.uuid(), chunk) for chunk in column.chunks]
    return pa.chunked_array(chunks) if chunks else pa.chunked_array([], type=wanted.type)


def _leaves(type_: pa.DataType) -> int:
    """How many leaves a column of a type has."""
    if isinstance(type_, pa.BaseExtensionType):
        return _leaves(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return _leaves(type_.value_type)
    return sum(_leaves(type_.field(number).type) for number in range(type_.num_fields)) if type_.num_fields else 1


def _numbers(column: Any) -> NDArray[np.int64]:
    return np.asarray(column.cast(pa.int64()).fill_null(0))


def _shown(value: Any) -> str:
    return str(value) if value.is_valid else "null"


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not a readable Parquet file: {(str(error).splitlines() or [type(error).__name__])[0]}")
