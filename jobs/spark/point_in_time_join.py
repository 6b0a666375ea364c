"""The Spark plan of a backfill: one range of days, from requests and events to a Parquet file per day.

events ─Spark SQL─▶ tiles of all views, each in every group whose windows reach it ┐
                                              requests, each in its group of time ─┴─cogroup─▶ the kernel ─▶ files

A range whose groups of whole days are small is folded for all views at once. Where a day is too large for a worker, each view is cut by keys and
time for itself, and the values of a request are put together afterwards. Of a view with `Lifetime` features each group also gets its keys' bases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial, reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.columns.column import TILE_START
from features.compiler.spark import PIECE, tile_query
from features.kernel.lifetime_aggregate import LEAVES, MARK
from features.plan import LabelPlan, ServicePlan, ViewPlan
from features.point_in_time import AS_OF, FILE, POSITION, VIEW, SharedColumns, fold_each
from inference.prediction_table import FRONTIER, STALE
from jobs.spark import lifetime, parquet_source
from jobs.spark.daily_writer import DAY, LABEL, DayWriter, FeatureScorer, Written, fold_and_write
from jobs.spark.partitioning import (
    DAY_MS,
    FINE_BUCKETS,
    GROUPS_PER_CORE,
    ROWS_PER_PARTITION,
    Chunks,
    Histogram,
    Range,
    keys_and_time,
    piece_ms,
    slot_ms,
    tasks,
    whole_days,
)
from schemas.types import DataType

_GROUP, _CHUNK = "#group", "#chunk"
_WRITTEN_SQL = "day BIGINT, file STRING, rows BIGINT, bytes BIGINT, sha256 STRING"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a backfill reads.

    Attributes:
        service: Whose features.
        as_known: Whether late events count.
        requests: Requests that are asked for, bad ones left out.
        days: Of the requests and of each source: day → rows.
        events: Source → events, bad ones left out.
        label: `#on` and `label` of everything that happened, where that is wanted.
        scoring: Makes predictions of the features, where those are wanted.
        bases: View → the bases of its keys as ranges begin, where it has `Lifetime` features.
    """

    service: ServicePlan
    as_known: bool
    requests: DataFrame
    days: Mapping[str, Mapping[int, int]]
    events: Mapping[str, DataFrame]
    label: DataFrame | None
    scoring: FeatureScorer | None = None
    bases: Mapping[str, lifetime.RangeBases] = field(default_factory=dict)

    @cached_property
    def lanes(self) -> SharedColumns:
        """All views side by side."""
        return SharedColumns(views=self.service.views)

    @property
    def schema(self) -> pa.Schema:
        """Of the output: predictions; or the request, the features, where they were read, the label."""
        if self.scoring is not None:
            return self.scoring.schema
        service = self.service
        types = dict(service.request.columns) | service.feature_types
        names = [*service.request.columns, *(name for name in service.feature_types if name not in service.request.columns)]
        fields = [pa.field(name, types[name].arrow) for name in names]
        fields += [pa.field(FRONTIER, DataType.TIMESTAMP.arrow), pa.field(STALE, pa.bool_())]
        if self.label is not None and service.label is not None:
            fields.append(pa.field(LABEL, service.label.value.type.arrow))
        return pa.schema(fields)


def compute(spark: SparkSession, inputs: Inputs, range_: Range, folder: Path, *, group_rows: int) -> Iterator[Written]:
    """Compute a range of days and write one file for each below a folder that the workers see as well.

    Args:
        spark: The session.
        inputs: What to read.
        range_: The days.
        folder: Where to.
        group_rows: Requests and tiles that a worker's process holds at once.
    """
    cores = spark.sparkContext.defaultParallelism
    views = inputs.service.views
    back = [-(-_reach_ms(view) // DAY_MS) for view in views]
    tiles = [(days, inputs.days[view.source.name]) for days, view in zip(back, views, strict=True)]
    tiles += [(0, inputs.days[REQUESTS]) for view in views if view.has_lifetime]  # a base for each key that is asked for
    rows = _rows(inputs, range_)
    writer = DayWriter(folder=str(folder), schema=inputs.schema, derived=inputs.service.derived, scoring=inputs.scoring)
    whole = whole_days(range_, inputs.days[REQUESTS], tiles, limit=group_rows, cores=cores)
    spark.conf.set("spark.sql.shuffle.partitions", str(_partitions(inputs, range_, cores)))
    if not views:
        files = _in_days(rows, writer)
    elif whole is not None:
        files = _by_days(spark, inputs, range_, rows, whole, writer)
    else:
        files = _by_keys_and_time(spark, inputs, range_, rows, writer, group_rows)
    for row in parquet_source.at_once(files):
        yield Written(**row.asDict())


def _partitions(inputs: Inputs, range_: Range, cores: int) -> int:
    """Of a shuffle: one per core for a small range, enough for a large one that a partition sorts in memory."""
    rows = max(sum(count for day, count in days.items() if range_.days[0] <= day <= range_.days[-1]) for days in inputs.days.values())
    return max(cores, -(-rows // ROWS_PER_PARTITION))


REQUESTS = "--requests"
"""The requests' name among the relations: as the user names them, and as no source can be called."""


def _rows(inputs: Inputs, range_: Range) -> DataFrame:
    """The requests of a range with everything that they say themselves, and the label."""
    service = inputs.service
    as_of = F.unix_millis(_column(service.request.event_time))
    asked = parquet_source.between(inputs.requests, service.request.event_time, range_.start_ms, range_.end_ms)
    own = [F.expr(f.expression.sql("spark")).alias(f.name) for f in service.request_features if f.name not in service.request.columns]
    day = F.floor(as_of / F.lit(DAY_MS)).alias(DAY)
    rows = asked.select("*", as_of.alias(AS_OF), day, *own, F.lit(False).alias(STALE))
    ends = [_boundary(view) for view in service.views]
    frontier = F.least(*ends) if len(ends) > 1 else ends[0] if ends else F.col(AS_OF)
    rows = rows.withColumn(FRONTIER, F.timestamp_millis(frontier))
    if inputs.label is not None:
        assert service.request.id is not None
        rows = rows.join(inputs.label, _column(service.request.id) == F.col("`#on`"), "left")
    names = [name for name in inputs.schema.names if name in rows.columns]
    return rows.select(*map(_column, names), AS_OF, DAY, FILE, POSITION)


def happened(label: LabelPlan, events: DataFrame) -> DataFrame:
    """What then happened, by `#on`: of several events the latest, null values passed over."""
    value = F.expr(label.value.sql("spark"))
    when = F.struct(_column(label.source.event_time), value)
    return events.where(value.isNotNull()).groupBy(_column(label.on).alias("#on")).agg(F.max_by(value, when).alias(LABEL))


def _by_days(spark: SparkSession, inputs: Inputs, range_: Range, rows: DataFrame, chunks: Chunks, writer: DayWriter) -> DataFrame:
    """Groups of whole days, all views at once: what comes out of a group is finished."""
    tiles = reduce(
        DataFrame.unionByName, [_tiles(spark, inputs, range_, rows, number, chunks) for number in range(len(inputs.service.views))]
    )
    asked = rows.withColumn(_GROUP, _chunk(F.col(AS_OF), chunks))
    work = partial(fold_and_write, inputs.lanes, writer)
    # Partitioned by hand: Spark would put groups together by their size before it knows what they cost.
    count = tasks(chunks.count, cores=spark.sparkContext.defaultParallelism)
    left, right = (side.repartition(count, _GROUP).groupBy(_GROUP) for side in (asked, tiles))
    return left.cogroup(right).applyInArrow(work, _WRITTEN_SQL)


def _by_keys_and_time(spark: SparkSession, inputs: Inputs, range_: Range, rows: DataFrame, writer: DayWriter, limit: int) -> DataFrame:
    """Groups of some keys and some time of one view; then the values of a request come together, and the requests of a day."""
    views, lanes, taken = inputs.service.views, inputs.lanes, 0
    asked, tiles = [], []
    for number, view in enumerate(views):
        census = _census(inputs, range_, rows, number)
        chunks = keys_and_time(range_, census, limit=limit)
        keys = [_column(key.name).alias(lane) for key, lane in zip(view.keys, lanes.keys(number).values(), strict=True)]
        group = _bucket(view, chunks.buckets) * chunks.count + _chunk(F.col(AS_OF), chunks) + F.lit(taken)
        asked.append(_widened(rows.select(group.alias(_GROUP), F.lit(number).alias(VIEW), AS_OF, FILE, POSITION, *keys), lanes.key_types))
        tiles.append(_tiles(spark, inputs, range_, rows, number, chunks, taken))
        taken += chunks.buckets * chunks.count
    cores = spark.sparkContext.defaultParallelism
    # A task takes one group after the other, so that many may share a partition.
    partitions = max(_partitions(inputs, range_, cores), min(taken, GROUPS_PER_CORE * cores))
    spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
    features = [feature for view in views for feature in view.features]
    types = f"`{FILE}` STRING, `{POSITION}` BIGINT, " + ", ".join(f"`{f.name}` {f.type.spark}" for f in features)
    work = partial(fold_each, lanes, (FILE, POSITION))
    grouped = reduce(DataFrame.unionByName, asked).groupBy(_GROUP).cogroup(reduce(DataFrame.unionByName, tiles).groupBy(_GROUP))
    values = (
        grouped.applyInArrow(work, types).groupBy(FILE, POSITION).agg(*(F.any_value(_column(f.name), True).alias(f.name) for f in features))
    )
    return _in_days(rows.join(values, [FILE, POSITION]), writer)


def _in_days(rows: DataFrame, writer: DayWriter) -> DataFrame:
    """Finished rows, streamed into the files of their days."""
    return rows.repartition(F.col(f"`{DAY}`")).sortWithinPartitions(DAY, FILE, POSITION).mapInArrow(writer.write, _WRITTEN_SQL)


def _tiles(
    spark: SparkSession, inputs: Inputs, range_: Range, rows: DataFrame, number: int, chunks: Chunks, first_group: int = 0
) -> DataFrame:
    """A view's tiles in lanes, once for each group that may need them.

    A tile `[s, s + tile)` counts as of t iff `s + opens ≤ t < s + W + opens` (`ViewPlan.opens_after_ms`) for the longest window W. Those that no window has
    any more as a group begins are in the bases of its keys.
    """
    view = inputs.service.views[number]
    start = F.unix_millis(_column(TILE_START))
    open_ = start + F.lit(view.opens_after_ms)
    earliest, latest = _chunk(open_, chunks), _chunk(open_ + F.lit(view.longest_window_ms - 1), chunks)
    tiles = _view_tiles(spark, inputs, range_, view).where(latest >= 0)
    reached = F.sequence(F.greatest(earliest, F.lit(0)), F.least(latest, F.lit(chunks.count - 1)))
    wanted = (latest >= earliest) & (earliest < chunks.count)
    if view.has_lifetime:
        chunk = _chunk(F.col(AS_OF), chunks)
        asked = lifetime.marks(view, rows, chunk, chunk * F.lit(chunks.length_ms) + F.lit(chunks.start_ms))
        before = inputs.bases[view.name].before(range_) if view.name in inputs.bases else None
        leaving = tiles.withColumn(LEAVES, open_ + F.lit(view.longest_window_ms))
        tiles = lifetime.at_marks(view, leaving, before, asked, with_tiles=True)
        is_base = _column(MARK).isNotNull()
        reached = F.when(is_base, F.array(_column(MARK).cast("int"))).otherwise(reached)
        wanted = is_base | wanted
    group = F.explode(reached).alias(_CHUNK) if chunks.count > 1 else F.lit(0).alias(_CHUNK)
    kept = tiles.where(wanted).select("*", group)
    lanes = [_column(name).alias(lane) for name, lane in inputs.lanes.columns(number).items()]
    own = (_bucket(view, chunks.buckets) * chunks.count + F.col(_CHUNK) + F.lit(first_group)).alias(_GROUP)
    return _widened(kept.select(own, F.lit(number).alias(VIEW), TILE_START, *lanes), inputs.lanes.types)


def _view_tiles(spark: SparkSession, inputs: Inputs, range_: Range, view: ViewPlan) -> DataFrame:
    """The tiles that any request of the range may read.

    Where repeats are looked for, the events are exchanged by the piece of time that they are in: once, for their repeats and for the tiles of all
    views of their source. Otherwise Spark adds them up ahead of their exchange, which is smaller so.
    """
    name = view.source.name
    alike = [other for other in inputs.service.views if other.source.name == name]
    # As far back as the longest of the source's views, so that Spark reads and exchanges the events of several views once.
    reach_ms = max(map(_reach_ms, alike))
    events = parquet_source.between(inputs.events[name], view.source.event_time, range_.start_ms - reach_ms, range_.end_ms)
    partitions = _partitions(inputs, range_, spark.sparkContext.defaultParallelism)
    length_ms = None if view.source.dedupe_ms is None else piece_ms(range_, [other.tile_ms for other in alike], partitions=partitions)
    if length_ms is not None:
        time = F.unix_millis(_column(view.source.event_time))
        events = events.withColumn(PIECE, time - F.pmod(time, F.lit(length_ms))).repartition(partitions, _column(PIECE))
    events.createOrReplaceTempView(name)
    return spark.sql(tile_query(view, inputs.as_known, in_pieces=length_ms is not None))


def _census(inputs: Inputs, range_: Range, rows: DataFrame, number: int) -> Histogram:
    """How many tiles and requests of a view fall into each bucket of keys and slot of time; only these counts reach the driver.

    Tiles are estimated (HyperLogLog, 5 %): an upper bound by events would cut a busy key much too finely.
    """
    view = inputs.service.views[number]
    length = slot_ms(range_)
    oldest = min(inputs.days[view.source.name], default=range_.days[0]) * DAY_MS
    tail = -(-min(_reach_ms(view), max(0, range_.start_ms - oldest)) // length)
    slots = -(-(range_.end_ms - range_.start_ms) // length)
    counted = Chunks(start_ms=range_.start_ms, length_ms=length, count=slots)
    bucket = _bucket(view, FINE_BUCKETS).alias("bucket")
    events = parquet_source.between(inputs.events[view.source.name], view.source.event_time, range_.start_ms - tail * length, range_.end_ms)
    time = F.unix_millis(_column(view.source.event_time))
    tile = F.struct(*(_column(key.name) for key in view.keys), F.floor(time / F.lit(view.tile_ms)))
    made = events.groupBy(bucket, _chunk(time, counted).alias("slot")).agg(F.approx_count_distinct(F.xxhash64(tile)).alias("rows"))
    asked = rows.groupBy(bucket, _chunk(F.col(AS_OF), counted).alias("slot")).agg(F.count(F.lit(1)).alias("rows"))
    tiles = np.zeros((FINE_BUCKETS, tail + slots), dtype=np.int64)
    requests = np.zeros((FINE_BUCKETS, slots), dtype=np.int64)
    for row in parquet_source.at_once(made):
        tiles[row.bucket, row.slot + tail] = row.rows
    for row in parquet_source.at_once(asked):
        requests[row.bucket, row.slot] = row.rows * (2 if view.has_lifetime else 1)  # each may need a base
    return Histogram(slot_ms=length, tail_slots=tail, tiles=tiles, requests=requests)


def _reach_ms(view: ViewPlan) -> int:
    """How far before a request its oldest event may lie."""
    return view.longest_window_ms + view.opens_after_ms


def _chunk(time_ms: Column, chunks: Chunks) -> Column:
    """The number of the chunk that a time is in; below 0 and beyond the last outside the range."""
    since = time_ms - F.lit(chunks.start_ms)
    return ((since - F.pmod(since, F.lit(chunks.length_ms))) / F.lit(chunks.length_ms)).cast("int")


def _bucket(view: ViewPlan, buckets: int) -> Column:
    """A key's bucket; that of a smaller power of two is the remainder."""
    return F.pmod(F.xxhash64(*(_column(key.name) for key in view.keys)), F.lit(buckets)).cast("int")


def _boundary(view: ViewPlan) -> Column:
    """`b` of the plan: an exact read needs the tiles up to here."""
    return F.expr(view.boundary_sql(f"`{AS_OF}`"))


def _widened(rows: DataFrame, types: Mapping[str, DataType]) -> DataFrame:
    """With every lane, those that are not its own null."""
    missing = [F.lit(None).cast(type_.spark).alias(lane) for lane, type_ in types.items() if lane not in rows.columns]
    return rows.select("*", *missing)


def _column(name: str) -> Column:
    return F.col(f"`{name}`")
