"""History for Spark: folders of Parquet files from anywhere, checked and brought to the schema's types, bad rows counted and left out."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation
from pyspark.sql import types as T  # noqa: N812 - as in Spark's own documentation

from features.compiler.declarations import did_you_mean
from features.compiler.spark import WATERMARK
from features.plan import SourcePlan
from features.point_in_time import FILE, POSITION
from jobs.spark.arrow_reader import ArrowReader, Piece, pieces
from jobs.spark.partitioning import DAY_MS, ROWS_PER_PARTITION
from schemas import folders
from schemas.acceptance import rules
from schemas.accepted import NO_UTF8
from schemas.conform import unheld
from schemas.errors import DataError, SettingError
from schemas.field import Field
from schemas.parquet import ParquetFile, files_of, parquet_files
from schemas.schema import Schema
from schemas.types import DataType

_SPARK_MS = (1 << 63) // 1_000 - 1  # Spark holds times in µs, and ends a job with those that are none
_WHOLE_DOUBLES = 1 << 53  # up to here each whole number is a double
ARRIVAL = Field(name=WATERMARK, type=DataType.INT64, nullable=True)
"""The column of the archive that says which events were late, beside a schema's fields."""


@dataclass(frozen=True, kw_only=True)
class _Physical:
    """How a Parquet file stores a column: what Spark should read it as, and of a finer time how much is cut."""

    read: T.DataType
    per_millisecond: int = 1


Layout = tuple[tuple[str, _Physical | None], ...]
"""Per field: how it is stored; None where the file lacks it."""


@dataclass(frozen=True, kw_only=True)
class HistoryFile:
    """A Parquet file that was read.

    Attributes:
        path: Where it is.
        name: Its path below the folder that was named, with `/` between.
        bytes: Its size.
        rows: How many it says to have.
    """

    path: Path
    name: str
    bytes: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Relation:
    """Rows of one schema.

    Attributes:
        schema: Their schema.
        source: Of which they are events, or requests.
        rows: The schema's fields, `_watermark_ms`, of requests also `#file` and `#position`; bad rows still in.
        files: The files read.
    """

    schema: Schema
    source: SourcePlan
    rows: DataFrame
    files: tuple[HistoryFile, ...]


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """How many rows a relation has, and why some were refused."""

    name: str
    rows: int
    refused: int
    reasons: Mapping[str, int]

    def __str__(self) -> str:
        """One line for the user."""
        if not self.refused:
            return f"{self.name}: {self.rows:,} rows"
        why = ", ".join(f"{reason}: {count:,}" for reason, count in self.reasons.items() if count)
        return f"{self.name}: {self.rows:,} rows, {self.refused:,} refused ({why})"


def events(spark: SparkSession, folder: Path, source: SourcePlan, schema: Schema) -> Relation:
    """The events of one source: every Parquet file below the folder named as the source.

    Raises:
        SettingError: There is no such folder, or none that may be looked into.
        DataError: A file is not Parquet, or lacks a column, or has one of another type.
    """
    own = folder / source.name
    with _looking("--events", folder):
        if not folder.is_dir():
            raise SettingError(f"--events: {folder} is not a folder; it holds one folder per source, e.g. {own}")
        if not own.is_dir():
            inside = sorted(path.name for path in folder.iterdir() if path.is_dir())
            near = did_you_mean(source.name, inside) if inside else "there are none"
            raise SettingError(
                f'--events: {folder} has no folder "{source.name}"; {near}. It holds one folder per source, named as the source'
            )
    return read(spark, own, parquet_files(own), source, schema, placed=False)


def requests(spark: SparkSession, path: Path, source: SourcePlan, schema: Schema) -> Relation:
    """The requests in a Parquet file, or in all below a folder.

    Raises:
        SettingError: There is nothing at the path, or it may not be looked at.
        DataError: A file is not Parquet, or lacks a column, or has one of another type.
    """
    files = files_of(path, what="--requests")
    return read(spark, path if path.is_dir() else path.parent, files, source, schema, placed=True)


@contextmanager
def _looking(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise SettingError(f"{option}: {path} cannot be read: {fault.strerror or fault}") from None


def read(spark: SparkSession, folder: Path, files: Iterable[Path], source: SourcePlan, schema: Schema, *, placed: bool) -> Relation:
    """All files below a folder as one relation.

    Spark reads those that it reads as `schemas.accepted` says, alike ones together; the others, and values in folders' names, are read by Arrow
    on its workers, once, and kept there.

    Args:
        spark: The session.
        folder: The folder.
        files: The files.
        source: Of the rows.
        schema: Of the source.
        placed: Add where each row was read: `#file` and `#position`. Spark makes them for every row even where nothing uses them.

    Raises:
        DataError: A file is not Parquet, or lacks a column, or has one of another type.
    """
    fields, base = (*schema.fields, ARRIVAL), folders.base_of(folder.absolute())
    groups: dict[Layout, list[Path]] = defaultdict(list)
    others: list[Piece] = []
    found = []
    for path in files:
        file = ParquetFile.open(path.absolute(), root=folder.absolute())
        file.check(fields)
        layout = layout_of(file, fields)
        if layout is None:
            others += pieces(file, folder.absolute(), ROWS_PER_PARTITION)
        else:
            groups[layout].append(file.path)
        name = file.path.relative_to(base).as_posix()
        found.append(HistoryFile(path=file.path, name=name, bytes=file.bytes, rows=file.metadata.num_rows))
    parts = [_read_alike(spark, paths, layout, schema, placed) for layout, paths in groups.items()]
    if others:
        parts.append(_read_by_arrow(spark, ArrowReader(pieces=tuple(others), fields=fields, placed=placed)))
    rows = reduce(DataFrame.unionByName, parts) if parts else _none(spark, schema)
    return Relation(schema=schema, source=source, rows=rows, files=tuple(found))


def to_write(path: Path) -> str:
    """A path as Spark's writers take it, with its scheme: on a cluster, one without may be HDFS's."""
    return f"file://{path.absolute()}"


def to_read(path: Path) -> str:
    """As `to_write`, for Spark's readers, which take `run[1]` and `{a}` for patterns."""
    return re.sub(r"[\\*?{}\[\]]", r"\\\g<0>", to_write(path))


def between(rows: DataFrame, time: str, low_ms: int | None, high_ms: int | None) -> DataFrame:
    """The rows with event times in `[low, high)`; those without one too, so that they are counted as refused."""
    condition = F.lit(True)
    if low_ms is not None:
        condition &= F.col(time) >= F.timestamp_millis(F.lit(low_ms))
    if high_ms is not None:
        condition &= F.col(time) < F.timestamp_millis(F.lit(high_ms))
    return rows.where(condition | F.col(time).isNull())


def refuse(rows: DataFrame, relation: Relation) -> DataFrame:
    """The rows of a relation, or of a part of it, that the gate of the stream would let pass."""
    return rows.where(~reduce(lambda left, right: left | right, [condition for _, condition in _faults(relation)], F.lit(False)))


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """What a relation holds, counted in one pass.

    Attributes:
        tally: Its rows and the refused ones.
        days: Day since the epoch in UTC → rows that are not refused.
    """

    tally: RowCounts
    days: Mapping[int, int]


def census(relations: Iterable[tuple[str, DataFrame, Relation]]) -> dict[str, Histogram]:
    """Count relations by day and fault, all in one Spark job; only these counts reach the driver.

    Args:
        relations: Name, rows (all or a part of them) and the relation of each.
    """
    given = list(relations)
    parts = []
    for name, rows, relation in given:
        broken = F.array_compact(
            F.array(*(F.when(condition, F.lit(number)) for number, (_, condition) in enumerate(_faults(relation))), F.lit(None).cast("int"))
        )
        day = F.floor(F.unix_millis(F.col(_quoted(relation.source.event_time))) / F.lit(DAY_MS)).alias("day")
        parts.append(rows.select(F.lit(name).alias("name"), day, broken.alias("faults")))
    counted = reduce(DataFrame.unionAll, parts).groupBy("name", "day", "faults").agg(F.count(F.lit(1)).alias("rows"))
    reasons = {name: [reason for reason, _ in _faults(relation)] for name, _, relation in given}
    totals: dict[str, int] = dict.fromkeys(reasons, 0)
    refused: dict[str, int] = dict.fromkeys(reasons, 0)
    told: dict[str, dict[str, int]] = {name: dict.fromkeys(found, 0) for name, found in reasons.items()}
    days: dict[str, dict[int, int]] = {name: {} for name in reasons}
    for row in at_once(counted):
        totals[row.name] += row.rows
        for number in row.faults:
            told[row.name][reasons[row.name][number]] += row.rows
        if row.faults:
            refused[row.name] += row.rows
        else:
            days[row.name][row.day] = row.rows
    return {
        name: Histogram(tally=RowCounts(name=name, rows=totals[name], refused=refused[name], reasons=told[name]), days=days[name])
        for name in reasons
    }


def at_once(rows: DataFrame) -> Iterator[Row]:
    """Few rows of results, all computed in one job: an iterator over several partitions would run them one after the other."""
    return iter(rows.repartition(1).toLocalIterator())


def _faults(relation: Relation) -> list[tuple[str, Column]]:
    """Why a row is refused, as the gate of the stream refuses it; but for times ahead of the clock, which is another one later."""
    source, times = relation.source, {field.name for field in relation.schema.fields if field.type is DataType.TIMESTAMP}
    found = rules(relation.schema.fields, event_time=source.event_time, earliest_ms=source.earliest_ms)
    values = {name: f"UNIX_MILLIS({_quoted(name)})" for name in times}
    return [(rule.reason, F.expr(rule.sql.format(value=values.get(rule.field, _quoted(rule.field))))) for rule in found]


def layout_of(file: ParquetFile, fields: Sequence[Field]) -> Layout | None:
    """How Spark is to read a file that was checked; None where it would not read the same as Arrow."""
    layout: list[tuple[str, _Physical | None]] = []
    for field in fields:
        if field.name in file.folders:
            return None
        physical = _physical(file, field) if field.name in file.columns.names else None
        if physical is None and field.name in file.columns.names:
            return None
        layout.append((field.name, physical))
    return tuple(layout)


def _physical(file: ParquetFile, field: Field) -> _Physical | None:
    column = file.metadata.schema.column(file.leaf(field.name))
    physical, logical = column.physical_type, column.logical_type.type
    whole = physical in ("INT32", "INT64") and logical in ("NONE", "INT") and str(column.converted_type) != "UINT_64"
    match field.type:
        case DataType.INT64 if whole:
            return _Physical(read=T.LongType())
        case DataType.FLOAT64 if physical in ("FLOAT", "DOUBLE") and logical == "NONE":
            return _Physical(read=T.FloatType() if physical == "FLOAT" else T.DoubleType())
        case DataType.FLOAT64 if whole and (physical == "INT32" or _within(file, field.name, -_WHOLE_DOUBLES, _WHOLE_DOUBLES)):
            return _Physical(read=T.LongType())
        case DataType.BOOLEAN if physical == "BOOLEAN":
            return _Physical(read=T.BooleanType())
        case DataType.STRING if logical == "STRING":
            return _Physical(read=T.StringType())
        case DataType.TIMESTAMP if physical == "INT96" and file.unit_of_int96 == "ms":
            return _Physical(read=T.TimestampType(), per_millisecond=1_000_000)
        case DataType.TIMESTAMP if logical == "TIMESTAMP":
            time = json.loads(column.logical_type.to_json())
            per_millisecond = {"milliseconds": 1, "microseconds": 1_000, "nanoseconds": 1_000_000}[time["timeUnit"]]
            if per_millisecond == 1 and _beyond(file, field.name, _SPARK_MS):
                return None
            if per_millisecond == 1_000_000:
                return _Physical(read=T.LongType(), per_millisecond=per_millisecond)
            return _Physical(read=T.TimestampType() if time["isAdjustedToUTC"] else T.TimestampNTZType(), per_millisecond=per_millisecond)
        case _:
            return None


def _within(file: ParquetFile, name: str, low: int, high: int) -> bool:
    """Whether a column's statistics say that all its values are within `[low, high]`."""
    known = file.range_of(name)
    return known is not None and low <= known[0] and known[1] <= high


def _beyond(file: ParquetFile, name: str, most: int) -> bool:
    """Whether a column's statistics say that a value is beyond `±most`."""
    known = file.range_of(name)
    return known is not None and not -most <= known[0] <= known[1] <= most


def _read_by_arrow(spark: SparkSession, reader: ArrowReader) -> DataFrame:
    count, rows = len(reader.pieces), sum(piece.rows for piece in reader.pieces)
    tasks = min(count, max(spark.sparkContext.defaultParallelism, -(-rows // ROWS_PER_PARTITION)))
    names = [(field.name, field.type.spark) for field in reader.fields] + (
        [(FILE, "STRING"), (POSITION, "BIGINT")] if reader.placed else []
    )
    types = ", ".join(f"`{name}` {type_}" for name, type_ in names)
    return spark.range(0, count, 1, tasks).mapInArrow(reader.read, types).persist()


def _read_alike(spark: SparkSession, files: list[Path], layout: Layout, schema: Schema, placed: bool) -> DataFrame:
    stored = T.StructType([T.StructField(name, physical.read) for name, physical in layout if physical is not None])
    frame = spark.read.schema(stored).parquet(*map(to_read, files))
    fields = {field.name: field for field in schema.fields}
    columns = [_portable(name, physical, fields.get(name)) for name, physical in layout]
    place = [F.col("_metadata.file_path").alias(FILE), F.col("_metadata.row_index").alias(POSITION)] if placed else []
    return frame.select(*columns, *place)


def _portable(name: str, physical: _Physical | None, field: Field | None) -> Column:
    type_ = DataType.INT64 if field is None else field.type
    if physical is None:
        default = None if field is None else field.default
        value = F.timestamp_millis(F.lit(default)) if type_ is DataType.TIMESTAMP and default is not None else F.lit(default)
    elif physical.per_millisecond > 1 and isinstance(physical.read, T.LongType):
        value = F.expr(
            f"TIMESTAMP_MILLIS(({_quoted(name)} - PMOD({_quoted(name)}, {physical.per_millisecond}L)) DIV {physical.per_millisecond}L)"
        )
    elif physical.per_millisecond > 1:
        value = F.timestamp_millis(F.unix_millis(F.col(_quoted(name)).cast("timestamp")))
    elif field is not None and field.type is DataType.STRING:
        value = _text(name, field)
    else:
        value = F.col(_quoted(name))
    if field is not None and field.is_single:
        value = value.cast("double").cast("float")  # as the wire carries it, in every format
    return value.cast(type_.spark).alias(name)


def _text(name: str, field: Field) -> Column:
    """A column of text; a file may call any bytes text, and Spark would pass them."""
    column, path = F.col(_quoted(name)), F.try_url_decode(F.replace(F.col("_metadata.file_path"), F.lit("+"), F.lit("%2B")))
    why = F.concat(F.lit(f"{DataError.__name__}: "), F.regexp_replace(path, "^file:/+", "/"), F.lit(f": {unheld(field, NO_UTF8)}"))
    return F.when(column.isNull() | F.is_valid_utf8(column), column).otherwise(F.raise_error(why).cast("string"))


def _none(spark: SparkSession, schema: Schema) -> DataFrame:
    names = [(field.name, field.type.spark) for field in schema.fields] + [(WATERMARK, "BIGINT")]
    return spark.createDataFrame([], ", ".join(f"`{name}` {type_}" for name, type_ in names))


def _quoted(name: str) -> str:
    return f"`{name}`"
