"""What Spark's Python workers do with a topic: read some offsets of a partition, decode them as the gate does, keep the good events as Parquet.

Imports neither Spark nor a command; nothing of an event reaches the driver.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from features.plan import SourcePlan
from infra.settings import Settings
from jobs.kafka.connection import Connection
from jobs.kafka.decoding import decoder
from jobs.kafka.slices import Slice, bodies_of
from jobs.spark.daily_writer import ROW_GROUP, kept
from schemas.schema import SchemaSet
from schemas.wire import MARKER, OK

READ = pa.schema(
    [
        ("slice", pa.int64()),
        ("file", pa.string()),
        ("records", pa.int64()),
        ("rows", pa.int64()),
        ("markers", pa.int64()),
        ("refused", pa.string()),
        ("sha256", pa.string()),
    ]  # type: ignore[arg-type]
)
"""One row for each slice; `file` is null where it has no event, `refused` is JSON: reason → records."""

_BATCH_RECORDS, _BATCH_BYTES = 10_000, 32 << 20
_POLL_S = 0.2
_SILENCE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class TopicReader:
    """Reads slices of topics into files. Picklable.

    An attempt that dies, or a speculative second one, leaves files of which nobody is told: names are never used twice.

    Attributes:
        slices: What there is to read; workers are given numbers of them.
        sources: Of the slices, by name.
        schemas: Of the sources.
        settings: The broker, the registry and the gate's limits.
        folder: Where to write; the same for all workers and the driver.
    """

    slices: tuple[Slice, ...]
    sources: Mapping[str, SourcePlan]
    schemas: SchemaSet
    settings: Settings
    folder: str

    def read(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Read the slices whose numbers are in the first column.

        Yields:
            Rows of `READ`.

        Raises:
            ServiceError: The broker or the registry does not answer, or no longer has what it had.
        """
        for batch in batches:
            for number in batch.column(0).to_numpy():
                yield self._read(int(number))

    def _read(self, number: int) -> pa.RecordBatch:
        piece = self.slices[number]
        source = self.sources[piece.source]
        columns = self.schemas.current(source.schema).arrow
        decode = decoder(source, self.schemas, self.settings).decode
        refused: Counter[str] = Counter()
        records = markers = 0
        with _EventFile(Path(self.folder) / f"{number}-{uuid4().hex}.parquet", columns) as file:
            for bodies in bodies_of(Connection.of(self.settings), piece):
                decoded = decode(bodies)
                records += len(bodies)
                markers += int((decoded.kind == MARKER).sum())
                refused.update(reason.partition(":")[0] for reason in decoded.reasons if reason is not None)
                good = pa.array(decoded.kind == OK)
                arrays = [pa.array(decoded.columns[field.name], field.type).filter(good) for field in columns]
                file.append(pa.table(arrays, schema=columns))
        told: dict[str, Any] = {"slice": [number], "file": [file.name], "records": [records], "rows": [file.rows], "markers": [markers]}
        return pa.RecordBatch.from_pydict(told | {"refused": [json.dumps(refused)], "sha256": [file.sha256]}, schema=READ)


class _EventFile:
    """A Parquet file that is made with its first row; on disk, and known by its hash, when the block ends well."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._held: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0
        self.name: str | None = None
        self.sha256: str | None = None

    def __enter__(self) -> _EventFile:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._write()
        if self._writer is None:
            return
        self._writer.close()
        if kind is None:
            self.sha256 = kept(self._path)
            self.name = self._path.name

    def append(self, table: pa.Table) -> None:
        self._held.append(table)
        self.rows += len(table)
        if sum(map(len, self._held)) >= ROW_GROUP:
            self._write()

    def _write(self) -> None:
        table = pa.concat_tables(self._held) if self._held else self._schema.empty_table()
        self._held = []
        if not len(table):
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, self._schema)
        self._writer.write_table(table)
