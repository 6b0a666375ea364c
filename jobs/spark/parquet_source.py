"""History for Spark: folders of Parquet files from anywhere, checked and brought to the schema's types; bad rows are still in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation
from pyspark.sql import types as T  # noqa: N812 - as in Spark's own documentation

from features.compiler.declarations import did_you_mean
from features.compiler.spark import WATERMARK
from features.plan import SourcePlan
from features.point_in_time import FILE, POSITION
from jobs.spark.arrow_reader import ArrowReader, Piece, pieces
from jobs.spark.parquet_layout import Layout, Physical, layout_of
from jobs.spark.partitioning import ROWS_PER_PARTITION
from jobs.spark.paths import to_read
from jobs.spark.relation import HistoryFile, Relation
from schemas import folders
from schemas.accepted import NO_UTF8
from schemas.conform import unheld
from schemas.errors import DataError, SettingError
from schemas.field import Field
from schemas.parquet import ParquetFile, files_of, parquet_files
from schemas.schema import Schema
from schemas.types import DataType

ARRIVAL = Field(name=WATERMARK, type=DataType.INT64, nullable=True)
"""The column of the archive that says which events were late, beside a schema's fields."""


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


def _portable(name: str, physical: Physical | None, field: Field | None) -> Column:
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
