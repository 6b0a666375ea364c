"""The tiles of views from history, as Parquet files, by the query that the stream's tiles are proven against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.compiler.spark import INTERVAL, interval_sql, late_intervals_query
from features.plan import ViewPlan
from jobs.spark.history import History
from jobs.spark.paths import to_write
from schemas.errors import SettingError
from schemas.parquet import parquet_files
from schemas.schema import SchemaSet

BEFORE_THE_STREAM = -1
"""The revision of a bootstrap's tiles."""


_FOREVER_MS = 1 << 52


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which tiles to make of history.

    Attributes:
        views: Of these views.
        schemas: Of their sources.
        events: Folder with one folder of Parquet files per source.
        as_known: Count late events too.
        late_only: Only tiles that late events belong to; of a view with several levels all that were merged with them.
        from_ms, until_ms: Only tiles that start in `[from, until)`.
        closed_ms: Of tiles that are to win over the stream's own: none that starts at this time or later, since it may not be whole yet. Those of a
            view with several levels are made of whole intervals of the largest, beyond `[from, until)`: the store replaces what it has merged as a
            whole. None: they are to win over nothing.
    """

    views: tuple[ViewPlan, ...]
    schemas: SchemaSet
    events: Path
    as_known: bool
    late_only: bool
    from_ms: int | None = None
    until_ms: int | None = None
    closed_ms: int | None = None


def staged(spark: SparkSession, wanted: Wanted, folder: Path) -> Iterator[tuple[ViewPlan, Path]]:
    """Make the tiles of each view, as Parquet files in a folder of its own below `folder`.

    Raises:
        SettingError: A folder of events is missing, or the workers do not share `folder`.
        DataError: Files that are not Parquet, or lack columns, or have others of wrong types.
    """
    history = History(spark=spark, schemas=wanted.schemas, events=wanted.events, as_known=wanted.as_known)
    for view in wanted.views:
        from_ms = None if wanted.from_ms is None else _aligned(wanted.from_ms, view.tile_ms)
        until_ms = _FOREVER_MS if wanted.until_ms is None else _aligned(wanted.until_ms, view.tile_ms)
        low_ms, high_ms = from_ms, until_ms
        if wanted.closed_ms is not None:
            low_ms = None if from_ms is None else from_ms // view.levels_ms[-1] * view.levels_ms[-1]
            high_ms = min(_aligned(until_ms, view.levels_ms[-1]), wanted.closed_ms)
        tiles: DataFrame = history.tiles(view, low_ms, high_ms)
        if wanted.late_only:
            late, keys = spark.sql(late_intervals_query(view, from_ms, until_ms)), [key.name for key in view.keys]
            tiles = tiles.withColumn(INTERVAL, F.expr(interval_sql(view))).join(late, [*keys, INTERVAL], "left_semi").drop(INTERVAL)
        own, made = folder / view.name, Observation()
        in_order = tiles.sortWithinPartitions("tile_start")  # what comes to the store in the order of time is merged there once
        in_order.observe(made, F.count(F.lit(1)).alias("tiles")).write.parquet(to_write(own))
        found = sum(pq.read_metadata(file).num_rows for file in parquet_files(own))
        if found != made.get["tiles"]:
            raise SettingError(
                f"TIDEMARK_HOME: of {made.get['tiles']:,} tiles that Spark wrote to {own} {found:,} are there; it is a folder that all workers share"
            )
        yield view, own


def _aligned(time_ms: int, size_ms: int) -> int:
    """The first multiple at or after a time."""
    return -(-time_ms // size_ms) * size_ms
