"""The Spark plan of a backfill: one range of days, from requests and events to a Parquet file per day.

events ─Spark SQL─▶ tiles of all views, each in every group whose windows reach it ┐
                                              requests, each in its group of time ─┴─cogroup─▶ the kernel ─▶ files

A range whose groups of whole days are small is folded for all views at once. Where a day is too large for a worker, each view is cut by keys and
time for itself, and the values of a request are put together afterwards. Of a view with `Lifetime` features each group also gets its keys' bases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.columns.column import TILE_START
from features.compiler.spark import PIECE, tile_query
from features.kernel.lifetime_aggregate import LEAVES, MARK
from features.plan import ViewPlan
from features.point_in_time import AS_OF, FILE, POSITION, VIEW, fold_each
from inference.prediction_table import FRONTIER, STALE
from jobs.spark import lifetime
from jobs.spark.daily_writer import DAY, DayWriter, Written, fold_and_write
from jobs.spark.grouping import bucket_of, chunk_of, reach_ms
from jobs.spark.inputs import REQUESTS, Inputs
from jobs.spark.key_histogram import histogram
from jobs.spark.partitioning import (
    DAY_MS,
    GROUPS_PER_CORE,
    ROWS_PER_PARTITION,
    Chunks,
    Range,
    keys_and_time,
    piece_ms,
    tasks,
    whole_days,
)
from jobs.spark.relation import at_once, between
from schemas.types import DataType

_GROUP, _CHUNK = "#group", "#chunk"
_WRITTEN_SQL = "day BIGINT, file STRING, rows BIGINT, bytes BIGINT, sha256 STRING"


@dataclass(frozen=True, kw_only=True)
class RangeJoin:
    """Requests and tiles of one range of days, brought together.

    Attributes:
        spark: The session.
        inputs: What there is.
        bases: View → the bases of its keys as ranges begin, where it has `Lifetime` features.
        range_: The days.
        folder: Where files go; the workers see it as well.
        group_rows: Requests and tiles that a worker's process holds at once.
    """

    spark: SparkSession
    inputs: Inputs
    bases: Mapping[str, lifetime.RangeBases]
    range_: Range
    folder: Path
    group_rows: int

    def compute(self) -> Iterator[Written]:
        """Write a file for each day."""
        inputs, views = self.inputs, self.inputs.service.views
        back = [-(-reach_ms(view) // DAY_MS) for view in views]
        tiles = [(days, inputs.days[view.source.name]) for days, view in zip(back, views, strict=True)]
        tiles += [(0, inputs.days[REQUESTS]) for view in views if view.has_lifetime]  # a base for each key that is asked for
        whole = whole_days(self.range_, inputs.days[REQUESTS], tiles, limit=self.group_rows, cores=self._cores)
        self._shuffle_in(self._partitions)
        for row in at_once(self._files(whole)):
            yield Written(**row.asDict())

    def _files(self, whole: Chunks | None) -> DataFrame:
        """A row for each file; `whole` are the groups of whole days, where these are small enough."""
        if not self.inputs.service.views:
            return self._in_days(self._rows)
        return self._by_keys_and_time() if whole is None else self._by_days(whole)

    @property
    def _cores(self) -> int:
        return self.spark.sparkContext.defaultParallelism

    @property
    def _partitions(self) -> int:
        """Of a shuffle: one per core for a small range, enough for a large one that a partition sorts in memory."""
        first, last = self.range_.days[0], self.range_.days[-1]
        rows = max(sum(count for day, count in days.items() if first <= day <= last) for days in self.inputs.days.values())
        return max(self._cores, -(-rows // ROWS_PER_PARTITION))

    def _shuffle_in(self, partitions: int) -> None:
        self.spark.conf.set("spark.sql.shuffle.partitions", str(partitions))

    @cached_property
    def _rows(self) -> DataFrame:
        """The requests of the range with everything that they say themselves, and the label."""
        inputs, service = self.inputs, self.inputs.service
        as_of = F.unix_millis(_column(service.request.event_time))
        asked = between(inputs.requests, service.request.event_time, self.range_.start_ms, self.range_.end_ms)
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

    @property
    def _writer(self) -> DayWriter:
        inputs = self.inputs
        return DayWriter(folder=str(self.folder), schema=inputs.schema, derived=inputs.service.derived, scoring=inputs.scoring)

    def _by_days(self, chunks: Chunks) -> DataFrame:
        """Groups of whole days, all views at once: what comes out of a group is finished."""
        tiles = reduce(DataFrame.unionByName, [self._tiles(number, chunks) for number in range(len(self.inputs.service.views))])
        asked = self._rows.withColumn(_GROUP, chunk_of(F.col(AS_OF), chunks))
        work = partial(fold_and_write, self.inputs.shared, self._writer)
        # Partitioned by hand: Spark would put groups together by their size before it knows what they cost.
        count = tasks(chunks.count, cores=self._cores)
        left, right = (side.repartition(count, _GROUP).groupBy(_GROUP) for side in (asked, tiles))
        return left.cogroup(right).applyInArrow(work, _WRITTEN_SQL)

    def _by_keys_and_time(self) -> DataFrame:
        """Groups of some keys and some time of one view; then the values of a request come together, and the requests of a day."""
        views, shared, taken, rows = self.inputs.service.views, self.inputs.shared, 0, self._rows
        asked, tiles = [], []
        for number, view in enumerate(views):
            chunks = keys_and_time(self.range_, histogram(self.inputs, self.range_, rows, view), limit=self.group_rows)
            keys = [_column(key.name).alias(name) for key, name in zip(view.keys, shared.keys(number).values(), strict=True)]
            group = bucket_of(view, chunks.buckets) * chunks.count + chunk_of(F.col(AS_OF), chunks) + F.lit(taken)
            wanted = rows.select(group.alias(_GROUP), F.lit(number).alias(VIEW), AS_OF, FILE, POSITION, *keys)
            asked.append(_widened(wanted, shared.key_types))
            tiles.append(self._tiles(number, chunks, taken))
            taken += chunks.buckets * chunks.count
        # A task takes one group after the other, so that many may share a partition.
        self._shuffle_in(max(self._partitions, min(taken, GROUPS_PER_CORE * self._cores)))
        features = [feature for view in views for feature in view.features]
        types = f"`{FILE}` STRING, `{POSITION}` BIGINT, " + ", ".join(f"`{f.name}` {f.type.spark}" for f in features)
        work = partial(fold_each, shared, (FILE, POSITION))
        grouped = reduce(DataFrame.unionByName, asked).groupBy(_GROUP).cogroup(reduce(DataFrame.unionByName, tiles).groupBy(_GROUP))
        of_a_request = [F.any_value(_column(f.name), True).alias(f.name) for f in features]
        values = grouped.applyInArrow(work, types).groupBy(FILE, POSITION).agg(*of_a_request)
        return self._in_days(rows.join(values, [FILE, POSITION]))

    def _in_days(self, rows: DataFrame) -> DataFrame:
        """Finished rows, streamed into the files of their days."""
        ordered = rows.repartition(F.col(f"`{DAY}`")).sortWithinPartitions(DAY, FILE, POSITION)
        return ordered.mapInArrow(self._writer.write, _WRITTEN_SQL)

    def _tiles(self, number: int, chunks: Chunks, first_group: int = 0) -> DataFrame:
        """A view's tiles in the columns that all views share, once for each group that may need them.

        A tile `[s, s + tile)` counts as of t iff `s + opens ≤ t < s + W + opens` (`ViewPlan.opens_after_ms`) for the longest window W. Those that
        no window has any more as a group begins are in the bases of its keys.
        """
        view = self.inputs.service.views[number]
        start = F.unix_millis(_column(TILE_START))
        open_ = start + F.lit(view.opens_after_ms)
        earliest, latest = chunk_of(open_, chunks), chunk_of(open_ + F.lit(view.longest_window_ms - 1), chunks)
        tiles = self._view_tiles(view).where(latest >= 0)
        needed_by = F.sequence(F.greatest(earliest, F.lit(0)), F.least(latest, F.lit(chunks.count - 1)))
        wanted = (latest >= earliest) & (earliest < chunks.count)
        if view.has_lifetime:
            chunk = chunk_of(F.col(AS_OF), chunks)
            asked = lifetime.marks(view, self._rows, chunk, chunk * F.lit(chunks.length_ms) + F.lit(chunks.start_ms))
            before = self.bases[view.name].before(self.range_) if view.name in self.bases else None
            leaving = tiles.withColumn(LEAVES, open_ + F.lit(view.longest_window_ms))
            tiles = lifetime.at_marks(view, leaving, before, asked, with_tiles=True)
            is_base = _column(MARK).isNotNull()
            needed_by = F.when(is_base, F.array(_column(MARK).cast("int"))).otherwise(needed_by)
            wanted = is_base | wanted
        group = F.explode(needed_by).alias(_CHUNK) if chunks.count > 1 else F.lit(0).alias(_CHUNK)
        kept = tiles.where(wanted).select("*", group)
        columns = [_column(name).alias(column) for name, column in self.inputs.shared.columns(number).items()]
        own = (bucket_of(view, chunks.buckets) * chunks.count + F.col(_CHUNK) + F.lit(first_group)).alias(_GROUP)
        return _widened(kept.select(own, F.lit(number).alias(VIEW), TILE_START, *columns), self.inputs.shared.types)

    def _view_tiles(self, view: ViewPlan) -> DataFrame:
        """The tiles that any request of the range may read.

        Where repeats are looked for, the events are exchanged by the piece of time that they are in: once, for their repeats and for the tiles
        of all views of their source. Otherwise Spark adds them up ahead of their exchange, which is smaller so.
        """
        name = view.source.name
        alike = [other for other in self.inputs.service.views if other.source.name == name]
        # As far back as the longest of the source's views, so that Spark reads and exchanges the events of several views once.
        begin_ms = self.range_.start_ms - max(map(reach_ms, alike))
        events = between(self.inputs.events[name], view.source.event_time, begin_ms, self.range_.end_ms)
        length_ms = None
        if view.source.dedupe_ms is not None:
            length_ms = piece_ms(self.range_, [other.tile_ms for other in alike], partitions=self._partitions)
        if length_ms is not None:
            time = F.unix_millis(_column(view.source.event_time))
            events = events.withColumn(PIECE, time - F.pmod(time, F.lit(length_ms))).repartition(self._partitions, _column(PIECE))
        events.createOrReplaceTempView(name)
        return self.spark.sql(tile_query(view, self.inputs.as_known, in_pieces=length_ms is not None))


def _boundary(view: ViewPlan) -> Column:
    """`b` of the plan: an exact read needs the tiles up to here."""
    return F.expr(view.boundary_sql(f"`{AS_OF}`"))


def _widened(rows: DataFrame, types: Mapping[str, DataType]) -> DataFrame:
    """With every lane, those that are not its own null."""
    missing = [F.lit(None).cast(type_.spark).alias(lane) for lane, type_ in types.items() if lane not in rows.columns]
    return rows.select("*", *missing)


def _column(name: str) -> Column:
    return F.col(f"`{name}`")
