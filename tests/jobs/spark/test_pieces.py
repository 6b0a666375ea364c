"""Into which pieces of time a backfill cuts the events that it exchanges."""

from __future__ import annotations

import pytest

from jobs.spark.partitioning import DAY_MS, FEW_TASKS, Range, piece_ms, tasks, whole_days

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
TWO_DAYS = Range(days=(15_979, 15_980))


@pytest.mark.parametrize(
    ("tiles_ms", "expected"), [([MINUTE], MINUTE), ([15 * SECOND, MINUTE], MINUTE), ([4 * MINUTE, 6 * MINUTE, MINUTE], 12 * MINUTE)]
)
def test_whole_tiles_of_every_view_fit_into_a_piece(tiles_ms: list[int], expected: int) -> None:
    assert piece_ms(TWO_DAYS, tiles_ms, partitions=2) == expected


def test_where_pieces_would_be_too_few_for_the_partitions_there_are_none() -> None:
    assert piece_ms(TWO_DAYS, [HOUR], partitions=3) == HOUR
    assert piece_ms(TWO_DAYS, [HOUR], partitions=4) is None
    assert piece_ms(TWO_DAYS, [DAY_MS], partitions=1) is None


def test_busy_days_at_the_end_of_ten_years_make_no_task_of_each_day() -> None:
    """The days are cut as finely as the busy ones need it; what takes them are few tasks."""
    first, last = 12_327, 15_979
    tiles = dict.fromkeys(range(last - 9, last + 1), 400_000)
    chunks = whole_days(Range(days=(first, last)), {first: 1, last: 50_000}, [(1, tiles)], limit=900_000, cores=2)
    assert chunks is not None
    assert chunks.count == last - first + 1
    assert tasks(chunks.count, cores=2) == FEW_TASKS
    assert [tasks(groups, cores=2) for groups in (0, 1, 16)] == [1, 1, 16]
    assert tasks(100_000, cores=500) == 4_000
