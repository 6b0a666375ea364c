"""Without a window: all tiles since ever, however many of them were merged into a base before, are what the oracle says of all events."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.columns.tile_table import Tiles
from features.kernel.condense import condense
from features.kernel.fold import fold, fold_counting
from features.partials.map_text import MOST_CHARACTERS
from tests.features.kernel.example import DELAY_MS, EVER_QUESTIONS, EVER_VIEW, TILE_MS, as_tiles, build_tiles, tile_table
from tests.features.kernel.test_kernel_is_the_oracle import OWNERS, asked, assert_same, event, histories, inputs_of, values
from tests.oracle import answers

History = tuple[list[dict[str, Any]], list[tuple[str, int]]]
Row = Mapping[str, Any]


def based(rows: Sequence[Row], cut_ms: int, steps: int) -> Tiles:
    """Tiles of which those that start before a time are merged into a base of each key, in steps as they would be over time."""
    old = sorted((row for row in rows if row["tile_start"] < cut_ms), key=lambda row: row["tile_start"])
    merged: pa.Table | None = None
    for part in np.array_split(np.arange(len(old)), steps):
        merged = _merged(merged, [old[number] for number in part])
    new = [row for row in rows if row["tile_start"] >= cut_ms]
    table = tile_table(EVER_VIEW, new)
    bases = 0 if merged is None else len(merged)
    if merged is not None:
        table = pa.concat_tables([merged, table])
    starts = np.append(np.full(bases, cut_ms), [row["tile_start"] for row in new]).astype(np.int64)
    owner = np.array([OWNERS[str(key)] for key in table["key"].to_pylist()], dtype=np.int64)
    return Tiles.of(EVER_VIEW.tile_columns, owner=owner, start_ms=starts, table=table, base=np.arange(len(table)) < bases)


def _merged(before: pa.Table | None, rows: Sequence[Row]) -> pa.Table | None:
    """The bases of all keys, with some more tiles."""
    table = tile_table(EVER_VIEW, rows)
    bases = 0 if before is None else len(before)
    if before is not None:
        table = pa.concat_tables([before, table])
    keys = sorted({str(key) for key in table["key"].to_pylist()})
    if not keys:
        return None
    tiles = Tiles.of(
        EVER_VIEW.tile_columns,
        owner=np.array([keys.index(str(key)) for key in table["key"].to_pylist()], dtype=np.int64),
        start_ms=table["tile_start"].to_numpy(),
        table=table,
        base=np.arange(len(table)) < bases,
    )
    columns = condense(EVER_VIEW, tiles, owners=len(keys))
    arrays = {column.name: columns[column.name].arrow(column.type) for column in EVER_VIEW.tile_columns}
    return pa.table({"key": pa.array(keys, pa.string()), "tile_start": pa.array([0] * len(keys), pa.int64())} | arrays)


def check(tiles: Tiles, events: Sequence[Row], rows: Sequence[tuple[str, int]]) -> None:
    """Every feature of every row against the oracle."""
    owner, boundary = asked(rows)
    columns = {name: values(column) for name, column in fold(EVER_VIEW, tiles, owner=owner, boundary_ms=boundary).items()}
    for number, (key, as_of) in enumerate(rows):
        said = answers(
            EVER_QUESTIONS,
            events,
            time="t",
            belongs=lambda event, key=key: bool(event["key"] == key),  # type: ignore[misc]
            as_of_ms=as_of,
            tile_ms=TILE_MS,
            delay_ms=DELAY_MS,
        )
        for question in EVER_QUESTIONS:
            assert_same(question, columns[question.name][number], said[question.name], inputs_of(question, events, key, as_of))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(histories())
def test_all_tiles_since_ever_equal_the_oracle(history: History) -> None:
    events, rows = history
    check(as_tiles(EVER_VIEW, build_tiles(EVER_VIEW, events), OWNERS), events, rows)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(1, 3), st.randoms(use_true_random=False))
def test_any_tiles_merged_into_a_base_in_any_steps_equal_the_oracle(history: History, steps: int, random: random.Random) -> None:
    events, rows = history
    tiles = build_tiles(EVER_VIEW, events)
    # As late as the longest window of the earliest row allows.
    cut = int(asked(rows)[1].min()) - 5 * TILE_MS - random.choice([0, 0, 1, 170]) * TILE_MS
    random.shuffle(tiles)
    check(based(tiles, cut, steps), events, rows)


def test_a_base_counts_only_as_of_its_end_or_later_and_in_no_window() -> None:
    tiles = based(build_tiles(EVER_VIEW, [event(k * TILE_MS, i=1) for k in range(10)]), 8 * TILE_MS, 1)
    rows = [("a", k * TILE_MS + DELAY_MS) for k in (7, 8, 9, 11)] + [("b", 11 * TILE_MS)]
    owner, boundary = asked(rows)
    columns, counted = fold_counting(EVER_VIEW, tiles, owner=owner, boundary_ms=boundary)
    assert columns["count_ever"].to_pylist() == [0, 8, 9, 10, 0]
    assert columns["count_5m"].to_pylist() == [0, 0, 1, 2, 0]
    assert counted.tolist() == [0, 1, 2, 3, 0]


def test_a_base_alone_and_far_apart_owners_are_found() -> None:
    tiles = based(build_tiles(EVER_VIEW, [event(0, i=1), {**event(TILE_MS, i=2), "key": "b"}]), 8 * TILE_MS, 1)
    rows = [("b", 9 * TILE_MS), ("a", 9 * TILE_MS), ("silent", 9 * TILE_MS)]
    owner, boundary = asked(rows)
    far = Tiles(owner=tiles.owner * 10**15, start_ms=tiles.start_ms, columns=tiles.columns, base=tiles.base)
    for found in (
        fold(EVER_VIEW, tiles, owner=owner, boundary_ms=boundary),
        fold(EVER_VIEW, far, owner=owner * 10**15, boundary_ms=boundary),
    ):
        assert found["sum_i_ever"].to_pylist() == [2, 1, 0]


def test_a_map_that_outgrows_a_tile_is_null_whether_or_not_a_base_was_made_of_it() -> None:
    words = [f"{number:0999}" for number in range(MOST_CHARACTERS // 1_000 + 3)]
    events = [event(number * TILE_MS, word=word) for number, word in enumerate(words)]
    tiles = build_tiles(EVER_VIEW, events)
    rows = [("a", number * TILE_MS + DELAY_MS) for number in range(90, len(words) + 1)]
    owner, boundary = asked(rows)
    plain = fold(EVER_VIEW, as_tiles(EVER_VIEW, tiles, OWNERS), owner=owner, boundary_ms=boundary)["topk_word_ever_0"].to_pylist()
    assert [value is None for value in plain] == [number * 1_002 > MOST_CHARACTERS for number in range(90, len(words) + 1)]
    for cut in (90, 100):
        later = np.array(boundary >= cut * TILE_MS)
        found = fold(EVER_VIEW, based(tiles, cut * TILE_MS, 2), owner=owner[later], boundary_ms=boundary[later])
        assert found["topk_word_ever_0"].to_pylist() == [value for value, wanted in zip(plain, later, strict=True) if wanted]


@pytest.mark.slow
def test_a_variance_stays_exact_while_the_mean_drifts_away_from_the_first_values() -> None:
    """One value at 0, then a million in each tile near a million: about the first pivot, eight digits would be lost."""
    many = 10**6
    moments = [(1, 0.0, 0.0, 0.0)] + [(many, 1e6 + number / 8, 0.0, many / 16) for number in range(60)]
    rows = build_tiles(EVER_VIEW, [event(number * TILE_MS, x=0.0) for number in range(len(moments))])
    names = [f"moments_x__{part}" for part in ("n", "pivot", "s1", "s2")]
    rows = [row | dict(zip(names, values, strict=True)) for row, values in zip(rows, moments, strict=True)]
    count = sum(n for n, *_ in moments)
    mean = sum(Fraction(n) * Fraction(pivot) for n, pivot, *_ in moments) / count
    squares = sum(Fraction(s2) + n * (Fraction(pivot) - mean) ** 2 for n, pivot, _, s2 in moments)
    owner, boundary = asked([("a", 500 * TILE_MS)])
    for steps in (1, 59):
        got = fold(EVER_VIEW, based(rows, 59 * TILE_MS, steps), owner=owner, boundary_ms=boundary)["variance_x_ever"][0].as_py()
        assert got == pytest.approx(float(squares / (count - 1)), rel=1e-12)
