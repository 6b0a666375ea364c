"""The archive is read as it grows: no file twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.flink.start_offsets import OFFSET, PARTITION
from jobs.parity.archive import archived


def test_each_file_is_read_once_and_counts_for_ever(tmp_path: Path) -> None:
    read: dict[Path, Mapping[int, int]] = {}
    assert archived(tmp_path / "none", read) == {}
    for name, rows in {"a": [(0, 5), (1, 2), (0, 7)], "b": [(0, 6), (2, 0)], "c": [(1, 9)]}.items():
        table = pa.table({PARTITION: [partition for partition, _ in rows], OFFSET: [offset for _, offset in rows]})
        pq.write_table(table, tmp_path / f"{name}.parquet")
        found = archived(tmp_path, read)
        (tmp_path / f"{name}.parquet").write_bytes(b"not read again")
    assert found == {0: 7, 1: 9, 2: 0}
