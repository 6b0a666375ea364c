"""What Spark's Python workers do with finished rows: one Parquet file per day, on disk before it is told of. Imports neither Spark nor a command."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.point_in_time import FILE, POSITION, SharedColumns, fold_all
from features.vocabulary.derived import DerivedFeature
from jobs.spark.worker import block_pandas

DAY = "#day"
"""int64: the request's day since the epoch in UTC."""

LABEL = "label"
"""The column of what then happened."""

WRITTEN = pa.schema(
    [("day", pa.int64()), ("file", pa.string()), ("rows", pa.int64()), ("bytes", pa.int64()), ("sha256", pa.string())]  # type: ignore[arg-type]
)
"""One row for each file."""

ROW_GROUP = 131_072
"""Rows that are written at once."""


def kept(path: Path) -> str:
    """Have a finished file on disk; the sha256 of its content."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True)
class Written:
    """A file of one day, as a worker left it: a row of `WRITTEN`."""

    day: int
    file: str
    rows: int
    bytes: int
    sha256: str


class FeatureScorer(Protocol):
    """Makes predictions of features. `inference.batch.BatchScorer` does; it loads LightGBM, which a worker should where that is wanted only."""

    @property
    def version(self) -> str:
        """Of the model."""

    @property
    def schema(self) -> pa.Schema:
        """Of the predictions."""

    def score(self, table: pa.Table) -> pa.Table:
        """A prediction for each row of features."""


@dataclass(frozen=True, kw_only=True)
class DayWriter:
    """Writes rows as files of one day each. Picklable.

    An attempt that dies, or a speculative second one, leaves files of which nobody is told: names are never used twice.

    Attributes:
        folder: Where; the same for all workers and the driver.
        schema: The columns to write, and their types.
        derived: Those that functions make of the others, batch by batch, as the online reader does.
        scoring: Makes predictions of the features.
    """

    folder: str
    schema: pa.Schema
    derived: tuple[DerivedFeature, ...] = ()
    scoring: FeatureScorer | None = None

    def write(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write batches in the order of their days.

        Yields:
            Rows of `WRITTEN`, after each day.
        """
        block_pandas()
        day: int | None = None
        held: list[pa.RecordBatch] = []
        writer: _OpenDay | None = None
        for batch in batches:
            for number, part in _by_day(batch):
                if number != day:
                    if writer is not None:
                        yield writer.close(held)
                    day, held, writer = number, [], _OpenDay(number, self)
                held.append(part)
                if sum(map(len, held)) >= ROW_GROUP and writer is not None:
                    writer.append(held)
                    held = []
        if writer is not None:
            yield writer.close(held)


class _OpenDay:
    """The file of one day, while it is written."""

    def __init__(self, day: int, what: DayWriter) -> None:
        self._day, self._schema, self._derived, self._scoring, self._rows = day, what.schema, what.derived, what.scoring, 0
        self._path = Path(what.folder) / f"{day}-{uuid4().hex}.parquet"
        self._writer = pq.ParquetWriter(self._path, what.schema)

    def append(self, batches: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(batches)
        columns = dict(zip(table.column_names, table.columns, strict=True))
        for feature in self._derived:
            table = table.append_column(feature.name, feature.evaluate(columns))
        if self._scoring is not None:
            table = self._scoring.score(table)
        table = table.select(self._schema.names).cast(self._schema)
        self._writer.write_table(table)
        self._rows += len(table)

    def close(self, batches: list[pa.RecordBatch]) -> pa.RecordBatch:
        if batches:
            self.append(batches)
        self._writer.close()
        told: dict[str, Any] = {"day": [self._day], "file": [self._path.name], "rows": [self._rows]}
        return pa.RecordBatch.from_pydict(told | {"bytes": [self._path.stat().st_size], "sha256": [kept(self._path)]}, schema=WRITTEN)


def _by_day(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The slices of a batch that is sorted by day."""
    days = batch.column(DAY).to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    for start, end in pairwise(edges):
        if end > start:
            yield int(days[start]), batch.slice(start, end - start)


def fold_and_write(lanes: SharedColumns, writer: DayWriter, requests: pa.Table, tiles: pa.Table) -> pa.Table:
    """A group of whole days: fold, bring to the order of the requests, write.

    Returns:
        Rows of `WRITTEN`.
    """
    block_pandas()
    if not len(requests):
        return WRITTEN.empty_table()
    folded = fold_all(lanes, requests, tiles)
    ordered = folded.sort_by([(DAY, "ascending"), (FILE, "ascending"), (POSITION, "ascending")]).combine_chunks()
    return pa.Table.from_batches(list(writer.write(ordered.to_batches())), schema=WRITTEN)
