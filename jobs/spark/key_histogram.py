"""How much of a view lies where in keys and time, counted ahead of a day that is too large for a worker; so that it is cut evenly."""

from __future__ import annotations

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.plan import ViewPlan
from features.point_in_time import AS_OF
from jobs.spark.grouping import bucket_of, chunk_of, reach_ms
from jobs.spark.inputs import Inputs
from jobs.spark.partitioning import DAY_MS, FINE_BUCKETS, Chunks, Histogram, Range, slot_ms
from jobs.spark.relation import at_once, between


def histogram(inputs: Inputs, range_: Range, rows: DataFrame, view: ViewPlan) -> Histogram:
    """How many tiles and requests of a view fall into each bucket of keys and slot of time; only these counts reach the driver.

    Tiles are estimated (HyperLogLog, 5 %): an upper bound by events would cut a busy key much too finely.
    """
    length = slot_ms(range_)
    oldest = min(inputs.days[view.source.name], default=range_.days[0]) * DAY_MS
    tail = -(-min(reach_ms(view), max(0, range_.start_ms - oldest)) // length)
    slots = -(-(range_.end_ms - range_.start_ms) // length)
    counted = Chunks(start_ms=range_.start_ms, length_ms=length, count=slots)
    bucket = bucket_of(view, FINE_BUCKETS).alias("bucket")
    events = between(inputs.events[view.source.name], view.source.event_time, range_.start_ms - tail * length, range_.end_ms)
    time = F.unix_millis(F.col(f"`{view.source.event_time}`"))
    tile = F.struct(*(F.col(f"`{key.name}`") for key in view.keys), F.floor(time / F.lit(view.tile_ms)))
    made = events.groupBy(bucket, chunk_of(time, counted).alias("slot")).agg(F.approx_count_distinct(F.xxhash64(tile)).alias("rows"))
    asked = rows.groupBy(bucket, chunk_of(F.col(AS_OF), counted).alias("slot")).agg(F.count(F.lit(1)).alias("rows"))
    tiles = np.zeros((FINE_BUCKETS, tail + slots), dtype=np.int64)
    requests = np.zeros((FINE_BUCKETS, slots), dtype=np.int64)
    for row in at_once(made):
        tiles[row.bucket, row.slot + tail] = row.rows
    for row in at_once(asked):
        requests[row.bucket, row.slot] = row.rows * (2 if view.has_lifetime else 1)  # each may need a base
    return Histogram(slot_ms=length, tail_slots=tail, tiles=tiles, requests=requests)
