"""The tiles of views from history, as Parquet files, by the query that the stream's tiles are proven against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.compiler.spark import late_tiles_query
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
        late_only: Only tiles that late events belong to.
        from_ms, until_ms: Only tiles that start in `[from, until)`.
    """

    views: tuple[ViewPlan, ...]
    schemas: SchemaSet
    events: Path
    as_known: bool
    late_only: bool
    from_ms: int | None = None
    until_ms: int | None = None


def staged(spark: SparkSession, wanted: Wanted, folder: Path) -> Iterator[tuple[ViewPlan, Path]]:
    """Make the tiles of each view, as Parquet files in a folder of its own below `folder`.

    Raises:
        SettingError: A folder of events is missing, or the workers do not share `folder`.
        DataError: Files that are not Parquet, or lack columns, or have others of wrong types.
    """
    history = History(spark=spark, schemas=wanted.schemas, events=wanted.events, as_known=wanted.as_known)
    for view in wanted.views:
        low_ms = None if wanted.from_ms is None else -(-wanted.from_ms // view.tile_ms) * view.tile_ms
        high_ms = _FOREVER_MS if wanted.until_ms is None else -(-wanted.until_ms // view.tile_ms) * view.tile_ms
        tiles: DataFrame = history.tiles(view, low_ms, high_ms)
        if wanted.late_only:
            tiles = tiles.join(spark.sql(late_tiles_query(view)), [*(key.name for key in view.keys), "tile_start"], "left_semi")
        own, made = folder / view.name, Observation()
        tiles.observe(made, F.count(F.lit(1)).alias("tiles")).write.parquet(to_write(own))
        found = sum(pq.read_metadata(file).num_rows for file in parquet_files(own))
        if found != made.get["tiles"]:
            raise SettingError(
                f"TIDEMARK_HOME: of {made.get['tiles']:,} tiles that Spark wrote to {own} {found:,} are there; it is a folder that all workers share"
            )
        yield view, own
