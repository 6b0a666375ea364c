"""Which group a request or a tile belongs to, as Spark's columns: pieces of time and buckets of keys."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.plan import ViewPlan
from jobs.spark.partitioning import Chunks


def chunk_of(time_ms: Column, chunks: Chunks) -> Column:
    """The number of the chunk that a time is in; below 0 and beyond the last outside the range."""
    since = time_ms - F.lit(chunks.start_ms)
    return ((since - F.pmod(since, F.lit(chunks.length_ms))) / F.lit(chunks.length_ms)).cast("int")


def bucket_of(view: ViewPlan, buckets: int) -> Column:
    """A key's bucket; that of a smaller power of two is the remainder."""
    return F.pmod(F.xxhash64(*(F.col(f"`{key.name}`") for key in view.keys)), F.lit(buckets)).cast("int")


def reach_ms(view: ViewPlan) -> int:
    """How far before a request its oldest event may lie."""
    return view.longest_window_ms + view.opens_after_ms
