"""What Spark's Python workers do with files that Spark itself would read otherwise than `schemas.accepted` says. Imports neither Spark nor a command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from features.columns.column import engine_type
from features.point_in_time import FILE, POSITION
from jobs.spark.worker import block_pandas
from schemas.field import Field
from schemas.parquet import ParquetFile
from schemas.times import YEAR_1_MS, YEAR_10000_MS
from schemas.types import DataType

_PLAIN = "/-_.!~*'(),;:$&+=@"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Row groups `[first, end)` of a file, which hold its rows `[row, row + rows)`; `root` is the folder that was named."""

    path: str
    root: str
    first: int
    end: int
    row: int
    rows: int


def pieces(file: ParquetFile, root: Path, most_rows: int) -> Iterator[Piece]:
    """A file cut into pieces of about so many rows."""
    count, first, row, rows = file.metadata.num_row_groups, 0, 0, 0
    for number in range(count):
        rows += file.metadata.row_group(number).num_rows
        if rows >= most_rows or number == count - 1:
            yield Piece(path=str(file.path), root=str(root), first=first, end=number + 1, row=row, rows=rows)
            first, row, rows = number + 1, row + rows, 0


@dataclass(frozen=True, kw_only=True)
class ArrowReader:
    """Reads pieces of files. Picklable.

    Attributes:
        pieces: By their numbers.
        fields: The columns to read; nulls pass.
        placed: Add where each row was: `#file` and `#position`.
    """

    pieces: tuple[Piece, ...]
    fields: tuple[Field, ...]
    placed: bool

    def read(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Read the pieces whose numbers come.

        Yields:
            Their rows, instants in µs, as Spark takes them.

        Raises:
            DataError: A value that its field cannot hold.
        """
        block_pandas()
        for batch in batches:
            for number in batch.column(0).to_numpy().tolist():
                yield from self._rows(self.pieces[number])

    def _rows(self, piece: Piece) -> Iterator[pa.RecordBatch]:
        file, row = ParquetFile.open(Path(piece.path), root=Path(piece.root)), piece.row
        for table in file.tables(self.fields, groups=range(piece.first, piece.end), nulls=True):
            columns: dict[str, Any] = {name: _for_spark(table[name]) for name in table.column_names}
            if self.placed:
                columns[FILE] = pa.array([_as_spark_names(piece.path)] * len(table), pa.string())
                columns[POSITION] = pa.array(np.arange(row, row + len(table), dtype=np.int64))
            row += len(table)
            yield from pa.table(columns).combine_chunks().to_batches()


def _for_spark(column: Any) -> pa.ChunkedArray[Any]:
    """Spark holds instants in µs; those beyond the years that records may have stay beyond them."""
    if column.type != DataType.TIMESTAMP.arrow:
        return column  # type: ignore[no-any-return]
    whole = column.cast(pa.int64())
    held = np.clip(whole.fill_null(0).to_numpy(), YEAR_1_MS - 1, YEAR_10000_MS)
    kept = pa.chunked_array([pa.array(held, mask=np.asarray(whole.is_null()))])
    return kept.cast(DataType.TIMESTAMP.arrow).cast(engine_type(DataType.TIMESTAMP))


def _as_spark_names(path: str) -> str:
    """As `_metadata.file_path` does, so that the files of both sort by one rule."""
    return "file:" + "".join(quote(char, safe=_PLAIN) if char.isascii() else char for char in path)
