"""The bases made of history in one pass are what a plain loop says, however the rows are cut into batches."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.kernel.lifetime_aggregate import BaseMaker
from tests.features.kernel.example import TILE_MS, VIEW, build_tiles
from tests.features.kernel.test_kernel_is_the_oracle import event

MAKER = BaseMaker(view=VIEW)


def rows_of(given: list[tuple[str, int, bool]]) -> list[dict[str, Any]]:
    """(key, number, whether it is a mark) as rows; a tile of a number holds its number."""
    rows = []
    for key, number, mark in given:
        (tile,) = build_tiles(VIEW, [{**event(number * TILE_MS, i=number, x=float(number), word=str(number)), "key": key}])
        start = {"tile_start": number * TILE_MS * 1000}
        rows.append({"#mark": number, "key": key, "tile_start": None} if mark else {**tile, **start, "#mark": None})
    return rows


def batches(rows: list[dict[str, Any]], cuts: list[int]) -> list[pa.RecordBatch]:
    """The rows in batches."""
    fields = MAKER.schema
    edges = [0, *sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    parts = [rows[low:high] for low, high in pairwise(edges)]
    return [pa.RecordBatch.from_pydict({f.name: [row.get(f.name) for row in part] for f in fields}, schema=fields) for part in parts]


places = st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 12), st.booleans())


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(places, unique=True, max_size=20), st.lists(st.integers(0, 30), max_size=6))
def test_a_mark_gets_all_tiles_of_its_key_before_it(given: list[tuple[str, int, bool]], cuts: list[int]) -> None:
    ordered = sorted(given)  # at equal numbers marks come last
    got = [row for batch in MAKER(batches(rows_of(ordered), cuts)) for row in batch.to_pylist()]
    expected = []
    for key, mark, _ in (place for place in ordered if place[2]):
        before = [number for other, number, is_mark in ordered if other == key and not is_mark and number <= mark]
        if before:
            (merged,) = build_tiles(VIEW, [{**event(0, i=n, x=float(n), word=str(n)), "key": key} for n in before])
            told = {"#mark": mark, "key": key, "tile_start": None, "last_i": max(before)}
            names = ("count", "sum_i", "max_x", "tally_word", "registers_i", "count_where")
            expected.append(told | {name: merged[name] for name in names if name in merged})
    shown = [{name: _read(name, row[name]) for name in wanted} for row, wanted in zip(got, expected, strict=True)]
    assert shown == [{name: _read(name, value) for name, value in row.items()} for row in expected]


def _read(name: str, value: Any) -> Any:
    return sorted(value.split(",")) if name.startswith(("tally", "registers")) else value


@pytest.mark.slow
def test_a_variance_of_many_pieces_is_that_of_all_values() -> None:
    rows = rows_of([("a", number, False) for number in range(600)] + [("a", 600, True)])
    (base,) = [row for batch in MAKER(batches(rows, list(range(0, 600, 7)))) for row in batch.to_pylist()]
    values = np.arange(600)
    assert base["moments_x__n"] == 600
    squares = base["moments_x__s2"] - base["moments_x__s1"] ** 2 / 600
    assert squares == pytest.approx(float(((values - values.mean()) ** 2).sum()), rel=1e-12)
