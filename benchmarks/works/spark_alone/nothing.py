"""What Spark takes for nothing: `python -m … EVENTS REQUESTS OUT` hands each row of the same files to a Python worker and back, and writes the requests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from jobs.spark.session import session


def main(events: Path, requests: Path, out: Path) -> None:
    """Start a session as `tidemark backfill` does, and do that."""
    with session("nothing") as spark:
        for source in sorted(events.iterdir()):
            table = spark.read.parquet(str(source))
            table.mapInArrow(_same, table.schema).write.format("noop").mode("overwrite").save()
        table = spark.read.parquet(str(requests))
        table.mapInArrow(_same, table.schema).write.parquet(str(out))


def _same(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return batches


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
