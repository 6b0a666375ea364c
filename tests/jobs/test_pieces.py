"""Into which pieces of time a backfill cuts the events that it exchanges."""

from __future__ import annotations

import pytest

from jobs.splits import DAY_MS, Range, piece_ms

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
