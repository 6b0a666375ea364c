"""Predictions, requests and tiles, wherever they are, brought to Parquet files that Spark and Arrow read: a batch in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.columns.column import TILE_START
from features.compiler.tile_schema import tile_avro_schema
from features.plan import ServicePlan, ViewPlan
from features.tolerances import feature_rules
from inference.prediction import id_field
from inference.prediction_table import FRONTIER, STALE, schema_of
from infra.settings import Settings
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.decoding import decoder
from jobs.kafka.reader import Message
from jobs.parity.comparison import DUE
from jobs.parity.predictions import PredictionBatch
from jobs.spark.history import ORDER
from schemas import parquet
from schemas.avro_columns import compile_reader
from schemas.errors import DataError
from schemas.field import Field
from schemas.schema import Schema, SchemaSet, parse
from schemas.types import DataType
from schemas.wire import OK

REVISION = "revision"
_BATCH = 20_000


@dataclass(kw_only=True)
class Staging:
    """A folder of staged rows; use as a context manager.

    Attributes:
        folder: Where the Parquet files are.
        schema: Of the rows, without `#order`.
        time: The column by which `[from_ms, until_ms)` are taken.
        from_ms, until_ms: None takes all.
        rows: Staged so far.
        skipped: Rows that were read and are not for us, by reason.
        low_ms, high_ms: The smallest and largest time staged.
    """

    folder: Path
    schema: pa.Schema
    time: str
    from_ms: int | None = None
    until_ms: int | None = None
    rows: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    low_ms: int | None = None
    high_ms: int | None = None

    def add(self, table: pa.Table) -> None:
        """Write the rows that are within the time."""
        times = np.asarray(table[self.time].cast(pa.int64()))
        keep = np.ones(len(times), dtype=bool)
        if self.from_ms is not None:
            keep &= times >= self.from_ms
        if self.until_ms is not None:
            keep &= times < self.until_ms
        table, times = table.select(self.schema.names).cast(self.schema).filter(pa.array(keep)), times[keep]
        if not len(times) and self.rows:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        order = pa.array(np.arange(self.rows, self.rows + len(times), dtype=np.int64))
        pq.write_table(table.append_column(ORDER, order), self.folder / f"part-{self.rows:012}.parquet")
        self.rows += len(times)
        if len(times):
            self.low_ms = int(min(times.min(), times.min() if self.low_ms is None else self.low_ms))
            self.high_ms = int(max(times.max(), times.max() if self.high_ms is None else self.high_ms))

    def skip(self, reason: str, count: int = 1) -> None:
        """Note rows that are left out."""
        if count:
            self.skipped[reason] = self.skipped.get(reason, 0) + count

    def finish(self) -> Staging:
        """There is at least one file, so that readers know the columns."""
        if not self.rows and not self.folder.is_dir():
            self.add(self.schema.empty_table())
        return self


def predictions_of_topic(stage: Staging, settings: Settings, service: ServicePlan, schemas: SchemaSet) -> Staging:
    """Every prediction in the service's topic that was made with these definitions.

    Raises:
        DataError: A record that is no prediction.
        ServiceError: Kafka does not answer.
        SettingError: There is no such topic.
    """
    for batch in _batches(messages(Connection.of(settings), service.predictions_topic)):
        read = PredictionBatch(service=service, schemas=schemas, own_version_only=True)
        for message in batch:
            read.add(message.value() or b"", where=f"topic {service.predictions_topic} {message.partition()}/{message.offset()}")
        stage.skip("made with other definitions", read.strangers)
        stage.add(read.table())
    return stage.finish()


def predictions_of_file(stage: Staging, file: Path, service: ServicePlan) -> Staging:
    """Predictions as `predictions.parquet` of the demo has them: the request's fields, a column per feature, `frontier` and `stale`.

    Raises:
        SettingError: There is no such file.
        DataError: It is not Parquet, or a column is missing or of another type.
    """
    for path in parquet.files_of(file, what="--predictions"):
        known = parquet.ParquetFile.open(path, root=file)
        missing = [name for name in prediction_schema(service).names if name not in known.columns.names and name not in known.folders]
        if missing:
            raise DataError(
                f"--predictions: {path}: no column {', '.join(missing)}; it needs the request's fields, every feature, frontier, stale"
            )
    request = service.request
    types = {**service.feature_types, **request.columns, FRONTIER: DataType.TIMESTAMP, STALE: DataType.BOOLEAN}
    nullable = types.keys() - request.columns.keys() | request.nullable
    fields = [Field(name=name, type=types[name], nullable=name in nullable) for name in prediction_schema(service).names]
    for table in parquet.read(file, fields, what="--predictions"):
        stage.add(table)
    return stage.finish()


def requests_of_topic(
    stage: Staging, settings: Settings, service: ServicePlan, schemas: SchemaSet, *, after: Mapping[int, int] | None = None
) -> dict[int, int]:
    """Id and time of every request that the scorer accepts.

    Args:
        stage: Where to.
        settings: Of Kafka.
        service: Whose requests.
        schemas: Theirs.
        after: Read on from these offsets (partition → offset) for requests that were made meanwhile, and are not due to be answered yet.

    Returns:
        Partition → the offset to read on from.

    Raises:
        ServiceError: Kafka does not answer.
        SettingError: There is no such topic.
    """
    request = service.request
    decode = decoder(request, schemas, settings).decode
    ends = dict(after or {})
    for batch in _batches(messages(Connection.of(settings), request.topic, start="beginning" if after is None else after)):
        ends |= {message.partition() or 0: (message.offset() or 0) + 1 for message in batch}
        decoded = decode([message.value() for message in batch])
        good = np.flatnonzero(decoded.kind == OK).tolist()
        columns = {name: [decoded.columns[name][row] for row in good] for name in stage.schema.names if name != DUE}
        arrays = {name: pa.array(values, type=stage.schema.field(name).type) for name, values in columns.items()}
        stage.add(pa.table(arrays | {DUE: pa.array([after is None] * len(good), type=pa.bool_())}))
    stage.finish()
    return ends


def requests_of_files(stage: Staging, path: Path, schema: Schema) -> Staging:
    """Id and time of every request in a Parquet file, or in all below a folder.

    Raises:
        SettingError: There is no such file.
        DataError: It is not Parquet, or a column is missing or of another type.
    """
    for table in parquet.read(path, schema.fields, what="--requests"):
        stage.add(table.append_column(DUE, pa.array([True] * len(table), type=pa.bool_())))
    return stage.finish()


def tiles_of_topic(stage: Staging, settings: Settings, view: ViewPlan, *, keys: frozenset[str] | None = None) -> Staging:
    """The tiles in a view's topic, every revision and copy of them; those that cannot be read are counted.

    Args:
        stage: Where to.
        settings: Of Kafka.
        view: Its plan.
        keys: Only tiles of these entities, as the topic's keys write them.

    Raises:
        ServiceError: Kafka does not answer.
        SettingError: There is no such topic.
    """
    schema = parse(tile_avro_schema(view), name=f"tile_{view.name}")
    reader = compile_reader(schema.avro, schema)
    for batch in _batches(messages(Connection.of(settings), view.tiles_topic)):
        bodies = [message.value() or b"" for message in batch if keys is None or _key(message) in keys]
        if not bodies:
            continue
        ends = np.cumsum(np.fromiter(map(len, bodies), dtype=np.int64, count=len(bodies)))
        starts = ends - np.fromiter(map(len, bodies), dtype=np.int64, count=len(bodies))
        columns, faults = reader.read(b"".join(bodies), starts, ends)
        good = np.array([row for row, fault in enumerate(faults) if fault is None], dtype=np.int64)
        stage.skip("unreadable", len(bodies) - len(good))
        arrays = {
            each.name: pa.array(columns[each.name].values[good], type=each.type.arrow, mask=columns[each.name].nulls[good])
            for each in schema.fields
        }
        table = pa.table(arrays)
        stage.add(table.filter(table[TILE_START].is_valid()) if table[TILE_START].null_count else table)
    return stage.finish()


def prediction_schema(service: ServicePlan) -> pa.Schema:
    """What is staged of a prediction."""
    columns = schema_of(service)
    names = [*service.request.columns, *(name for name in feature_rules(service) if name not in service.request.columns), FRONTIER, STALE]
    return pa.schema([columns.field(name) for name in names])


def request_schema(service: ServicePlan) -> pa.Schema:
    """What is staged of a request."""
    columns = service.request.columns
    return pa.schema([*((name, columns[name].arrow) for name in (id_field(service), service.request.event_time)), (DUE, pa.bool_())])


def tiles_schema(view: ViewPlan) -> pa.Schema:
    """What is staged of a tile."""
    fields = parse(tile_avro_schema(view), name=f"tile_{view.name}").fields
    return pa.schema([(each.name, each.type.arrow) for each in fields])


def _key(message: Message) -> str:
    key = message.key()
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)


def _batches(read: Iterator[Message]) -> Iterator[list[Message]]:
    present = (message for message in read if message.value() is not None)
    while batch := list(islice(present, _BATCH)):
        yield batch
