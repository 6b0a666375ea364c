"""Rows in the order of their days become one file a day, however the batches fall."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.spark.daily_writer import DAY, DayWriter


def batch(*days: int) -> pa.RecordBatch:
    return pa.record_batch({DAY: pa.array(days, pa.int64()), "x": pa.array(days, pa.int64())})


def test_a_file_a_day_whatever_the_batches(tmp_path: Path) -> None:
    writer = DayWriter(folder=str(tmp_path), schema=pa.schema([("x", pa.int64())]))
    told = [row for part in writer.write([batch(), batch(1, 1), batch(1, 2, 5), batch(), batch(5)]) for row in part.to_pylist()]
    assert [(row["day"], row["rows"]) for row in told] == [(1, 3), (2, 1), (5, 2)]
    for row in told:
        assert pq.read_table(tmp_path / row["file"])["x"].to_pylist() == [row["day"]] * row["rows"]
        assert (tmp_path / row["file"]).stat().st_size == row["bytes"]
    assert list(writer.write([batch()])) == []
