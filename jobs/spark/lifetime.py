"""The Spark plan of `Lifetime` features: everything before a piece of time, merged for each key that the piece asks for.

tiles, ordered by key and by when they leave the longest window ┐
            marks: which keys each piece of time asks for ──────┴─ union, sorted within partitions ─▶ features.kernel.lifetime_aggregate ─▶ bases

The history of a key is streamed once and never held, so memory does not grow with it. A backfill of several ranges of days does this once for all of
their beginnings, and then, within each range, from its bases on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.columns.column import TILE_START
from features.compiler.spark import tile_query
from features.kernel.lifetime_aggregate import LEAVES, MARK, BaseMaker
from features.plan import ViewPlan
from features.point_in_time import AS_OF
from jobs.spark.inputs import Inputs
from jobs.spark.partitioning import DAY_MS, ROWS_PER_PARTITION, Range
from jobs.spark.paths import to_read, to_write
from jobs.spark.relation import between
from schemas.types import DataType

_FIRST = -(1 << 62)


@dataclass(frozen=True, kw_only=True)
class RangeBases:
    """The bases of one view's keys as each of several ranges begins.

    Attributes:
        marks: Start of a range in ms → its mark; of a range that nothing was before, none.
        rows: The bases of all marks, as Spark finds them where it wrote them.
    """

    marks: Mapping[int, int]
    rows: DataFrame

    @classmethod
    def make(
        cls,
        spark: SparkSession,
        view: ViewPlan,
        *,
        events: DataFrame,
        oldest_day: int,
        requests: DataFrame,
        ranges: Sequence[Range],
        folder: Path,
        as_known: bool,
    ) -> RangeBases | None:
        """Compute them, in one pass over the history before the last range; None where no range has any before it.

        Args:
            spark: The session.
            view: Whose keys.
            events: Of its source, bad ones left out.
            oldest_day: Of the events.
            requests: The key columns and `AS_OF`.
            ranges: The ranges.
            folder: Where to, which the workers see as well.
            as_known: Whether late events count.
        """
        leaves_ms = view.opens_after_ms + view.longest_window_ms
        later = [range_ for range_ in ranges if oldest_day * DAY_MS + leaves_ms - view.tile_ms <= range_.start_ms]
        if not later:
            return None
        last_ms = later[-1].start_ms
        between(events, view.source.event_time, None, last_ms).createOrReplaceTempView(view.source.name)
        leaves = F.unix_millis(_column(TILE_START)) + F.lit(leaves_ms)
        tiles = spark.sql(tile_query(view, as_known)).withColumn(LEAVES, leaves).where(F.col(LEAVES) <= last_ms)
        starts = F.array(*(F.lit(range_.start_ms) for range_ in later))
        begun = F.size(F.filter(starts, lambda start: start <= F.col(AS_OF)))  # a day between two ranges, done before, counts to the first
        asked = marks(view, requests.where(begun > 0), begun - 1, F.element_at(starts, begun))
        at_marks(view, tiles, None, asked).write.partitionBy(MARK).parquet(to_write(folder))
        rows = spark.read.schema(_sql(view)).parquet(to_read(folder))
        return cls(marks={range_.start_ms: number for number, range_ in enumerate(later)}, rows=rows)

    def before(self, range_: Range) -> DataFrame | None:
        """The bases as a range begins; None where nothing was before."""
        mark = self.marks.get(range_.start_ms)
        return None if mark is None else self.rows.where(_column(MARK) == mark).drop(MARK)


def bases(spark: SparkSession, inputs: Inputs, ranges: Sequence[Range], folder: Path) -> dict[str, RangeBases]:
    """For each view with `Lifetime` features the bases as each range begins; of a view without any before, nothing.

    Args:
        spark: The session.
        inputs: What the backfill reads.
        ranges: What it computes.
        folder: Where to, below it a folder for each view.
    """
    found = {}
    for view in inputs.service.views:
        days = inputs.days[view.source.name]
        if not view.has_lifetime or not days or not ranges:
            continue
        partitions = max(spark.sparkContext.defaultParallelism, -(-sum(days.values()) // ROWS_PER_PARTITION))
        spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
        as_of = F.unix_millis(_column(inputs.service.request.event_time)).alias(AS_OF)
        made = RangeBases.make(
            spark,
            view,
            events=inputs.events[view.source.name],
            oldest_day=min(days),
            requests=inputs.requests.select(*(_column(key.name) for key in view.keys), as_of),
            ranges=ranges,
            folder=folder / view.name,
            as_known=inputs.as_known,
        )
        if made is not None:
            found[view.name] = made
    return found


def marks(view: ViewPlan, requests: DataFrame, piece: Column, begins: Column) -> DataFrame:
    """Which keys each piece of time asks for, and when it begins (ms)."""
    keys = [_column(key.name) for key in view.keys]
    whole = reduce(lambda left, right: left & right, (key.isNotNull() for key in keys))
    return requests.where(whole).select(*keys, piece.cast("bigint").alias(MARK), begins.cast("bigint").alias(LEAVES)).distinct()


def at_marks(view: ViewPlan, tiles: DataFrame, before: DataFrame | None, asked: DataFrame, *, with_tiles: bool = False) -> DataFrame:
    """The base of every mark whose key has any tile by then; and the tiles, whose `MARK` is null, if they are wanted.

    Args:
        view: Whose tiles.
        tiles: With `LEAVES`.
        before: Bases of what came before these tiles.
        asked: From `marks`.
        with_tiles: Give back the tiles too, so that Spark makes them once.

    Returns:
        `MARK`, the key columns, `tile_start` (null of a base), the tile columns.
    """
    maker = BaseMaker(view=view, with_tiles=with_tiles)
    parts = [tiles, asked] if before is None else [before.withColumn(LEAVES, F.lit(_FIRST)), tiles, asked]
    rows = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts)
    keys = [_column(key.name) for key in view.keys]
    names = [*maker.schema.names, LEAVES]
    ordered = rows.select(*map(_column, names)).repartition(*keys).sortWithinPartitions(*keys, LEAVES, F.col(MARK).isNotNull())
    return ordered.mapInArrow(maker, _sql(view))


def _sql(view: ViewPlan) -> str:
    types: Iterable[tuple[str, DataType]] = [
        (MARK, DataType.INT64),
        *((key.name, key.type) for key in view.keys),
        (TILE_START, DataType.TIMESTAMP),
        *((column.name, column.type) for column in view.tile_columns),
    ]
    return ", ".join(f"`{name}` {type_.spark}" for name, type_ in types)


def _column(name: str) -> Column:
    return F.col(f"`{name}`")
