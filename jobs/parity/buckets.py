"""Folders of rows alike, cut by a hash of the request id, so that of each a part fits in memory."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from jobs.spark.paths import to_read, to_write

BUCKET = "bucket__"
_ROWS_PER_BUCKET = 100_000


def into_buckets(spark: SparkSession, folders: list[Path], identity: str, rows: int) -> int:
    """Split folders of Parquet files alike by a hash of the request id, so that a bucket of each fits in memory; returns how many.

    Beside each folder `<name>` there is `<name>-buckets` then, with `bucket__=0` and so on; a bucket without rows has no folder.
    """
    buckets = -(-max(rows, 1) // _ROWS_PER_BUCKET)
    bucket = F.pmod(F.xxhash64(F.col(f"`{identity}`")), F.lit(buckets)).cast("int").alias(BUCKET)
    for folder in folders:
        frame = spark.read.parquet(to_read(folder)).select("*", bucket)
        frame.repartition(buckets, BUCKET).write.partitionBy(BUCKET).parquet(to_write(folder.with_name(f"{folder.name}-buckets")))
    return buckets
