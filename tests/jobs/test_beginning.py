"""Where a job without state begins, by what an archive holds and how far the store is."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.watermarks import NONE
from jobs.beginning import Beginning, last_of, of
from schemas.errors import DataError
from tests.shop import MINUTE, NOON

EVENTS = [  # partition, offset, minutes after noon; each line a file
    [(0, 0, 1), (0, 2, 6), (1, 0, 2)],
    [(0, 3, 4), (0, 5, 11), (1, 4, 3)],
]
LAST = {0: 5, 1: 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, rows in enumerate(EVENTS):
        table = pa.table(
            {
                "at": pa.array([NOON + minute * MINUTE for *_, minute in rows], pa.timestamp("ms")),
                "_partition": pa.array([partition for partition, *_ in rows], pa.int32()),
                "_offset": pa.array([offset for _, offset, _ in rows], pa.int64()),
                "_arrived": pa.array([NOON + offset for _, offset, _ in rows], pa.int64()),
            }
        )
        day = tmp_path / "day=2013-10-01"
        day.mkdir(exist_ok=True)
        pq.write_table(table, day / f"part-{number}")
        pq.write_table(table.slice(0, 1), day / f".part-{number}.inprogress")
    return tmp_path


def test_the_archive_tells_how_far_each_partition_is(folder: Path, tmp_path: Path) -> None:
    assert last_of(folder) == {0: (5, frozenset([NOON + 5])), 1: (4, frozenset([NOON + 4]))}
    assert last_of(tmp_path / "none") == {}


def test_the_first_event_of_an_open_tile_is_read_again(folder: Path) -> None:
    """Of partition 1 nothing is in an open tile: it goes on behind what is archived."""
    for closed in (5, 6):
        views = {"a": (NOON + 10 * MINUTE, MINUTE), "b": (NOON + closed * MINUTE, MINUTE), "new": (None, MINUTE)}
        assert of(folder, "at", views, LAST) == Beginning(archived=LAST, first={0: 2, 1: 5}, watermark_ms=NOON + closed * MINUTE - 1)
    assert of(folder, "at", {"a": (NOON + 10 * MINUTE, MINUTE)}, LAST).first == {0: 5, 1: 5}
    assert of(folder, "at", {"a": (NOON, MINUTE)}, LAST).first == {0: 0, 1: 0}
    assert of(folder, "at", {"a": (NOON, MINUTE)}, {0: 5}).first == {0: 0}  # what lay in partition 1 is of another topic


def test_a_new_view_begins_with_a_whole_tile_however_large(folder: Path) -> None:
    found = of(folder, "at", {"a": (NOON + 7 * MINUTE, MINUTE), "new": (None, 5 * MINUTE)}, LAST)
    assert found == Beginning(archived=LAST, first={0: 2, 1: 5}, watermark_ms=NOON + 7 * MINUTE - 1)
    assert of(folder, "at", {"a": (NOON + 7 * MINUTE, MINUTE), "new": (None, 60 * MINUTE)}, LAST).first == {0: 0, 1: 0}


def test_without_a_frontier_all_is_read_and_without_views_nothing_again(folder: Path) -> None:
    assert of(folder, "at", {"a": (None, MINUTE)}, LAST) == Beginning(archived=LAST, first={}, watermark_ms=NONE)
    assert of(folder, "at", {}, LAST) == Beginning(archived=LAST, first={0: 6, 1: 5}, watermark_ms=NONE)


def test_an_unreadable_archive_is_named(folder: Path) -> None:
    (folder / "part-2").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=f"archive {folder}: cannot be read: "):
        last_of(folder)
