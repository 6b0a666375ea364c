"""Where a job without state begins, by what an archive holds and how far the store is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.plan import SourcePlan
from features.watermarks import NONE
from jobs.flink.start_offsets import Beginning, last_of, of
from schemas.errors import DataError
from tests import shop
from tests.shop import MINUTE, NOON

EVENTS = [  # partition, offset, minutes after noon; each line a file
    [(0, 0, 1), (0, 2, 6), (1, 0, 2)],
    [(0, 3, 4), (0, 5, 11), (1, 4, 9)],
]
LAST = {0: 5, 1: 4}
TOPIC = {0: (0, 9), 1: (0, 5)}
SOURCE = replace(shop.plan().sources["clicks"], event_time="at", lateness_ms=0)


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
        day = tmp_path / "written=2013-10-01"
        day.mkdir(exist_ok=True)
        pq.write_table(table, day / f"part-{number}")
        pq.write_table(table.slice(0, 1), day / f".part-{number}.inprogress")
    return tmp_path


def test_the_archive_tells_how_far_each_partition_is(folder: Path, tmp_path: Path) -> None:
    assert last_of(folder) == {0: (5, frozenset([NOON + 5])), 1: (4, frozenset([NOON + 4]))}
    assert last_of(tmp_path / "none") == {}


def begins(
    folder: Path,
    views: dict[str, tuple[int | None, int]],
    *,
    last: Mapping[int, int] = LAST,
    topic: Mapping[int, tuple[int, int]] = TOPIC,
    source: SourcePlan = SOURCE,
) -> Beginning:
    """Views by their frontier, minutes after noon, and the minutes of their tiles."""
    reached = {name: (None if at is None else NOON + at * MINUTE, tile * MINUTE) for name, (at, tile) in views.items()}
    return of(folder, source, reached, last, topic)


def test_the_first_event_of_an_open_tile_is_read_again(folder: Path) -> None:
    for closed in (5, 6):
        found = begins(folder, {"a": (8, 1), "b": (closed, 1), "new": (None, 1)})
        assert found == Beginning(archived=LAST, first={0: 2, 1: 4}, watermark_ms=NOON + closed * MINUTE - 1)
    assert begins(folder, {"a": (8, 1)}).first == {0: 5, 1: 4}
    assert begins(folder, {"a": (0, 1)}).first == {0: 0, 1: 0}
    assert begins(folder, {"a": (0, 1)}, last={0: 5}, topic={0: (0, 9)}).first == {0: 0}  # what lay in partition 1 is of another topic


def test_a_new_view_begins_with_a_whole_tile_however_large(folder: Path) -> None:
    found = begins(folder, {"a": (7, 1), "new": (None, 5)})
    assert found == Beginning(archived=LAST, first={0: 2, 1: 4}, watermark_ms=NOON + 7 * MINUTE - 1)
    assert begins(folder, {"a": (7, 1), "new": (None, 60)}).first == {0: 0, 1: 0}


def test_what_no_archived_event_has_closed_is_open_however_far_the_store_is(folder: Path) -> None:
    """Events after the last checkpoint are in stored tiles and not in the archive: read again, they are in time again."""
    assert begins(folder, {"a": (30, 1)}) == Beginning(archived=LAST, first={0: 5, 1: 4}, watermark_ms=NOON + 9 * MINUTE)
    late = replace(SOURCE, lateness_ms=4 * MINUTE)
    assert begins(folder, {"a": (30, 1)}, source=late) == Beginning(archived=LAST, first={0: 2, 1: 4}, watermark_ms=NOON + 5 * MINUTE)


def test_a_partition_of_markers_alone_may_have_held_time_back(folder: Path) -> None:
    assert begins(folder, {"a": (5, 1)}, topic=TOPIC | {2: (0, 3)}) == Beginning(archived=LAST, first={}, watermark_ms=NONE)
    assert begins(folder, {"a": (5, 1)}, topic=TOPIC | {2: (3, 3)}).first == {0: 2, 1: 4}  # there is nothing in it


def test_no_tile_is_made_again_of_what_the_topic_has_lost(folder: Path) -> None:
    lost = {0: (3, 9), 1: (0, 5), 2: (0, 3)}  # what lay at offset 2, six minutes after noon
    assert begins(folder, {"a": (8, 1)}, topic=lost) == Beginning(archived=LAST, first={0: 5, 1: 4}, watermark_ms=NOON + 7 * MINUTE - 1)
    assert begins(folder, {"a": (5, 1)}, topic=lost).watermark_ms == NOON + 5 * MINUTE - 1


def test_without_a_frontier_all_is_read_and_without_views_nothing_again(folder: Path) -> None:
    assert begins(folder, {"a": (None, 1)}) == Beginning(archived=LAST, first={}, watermark_ms=NONE)
    assert begins(folder, {}) == Beginning(archived=LAST, first={0: 6, 1: 5}, watermark_ms=NONE)


def test_an_unreadable_archive_is_named(folder: Path) -> None:
    (folder / "part-2").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=f"archive {folder}: cannot be read: "):
        last_of(folder)
