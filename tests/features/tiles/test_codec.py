"""Packed tiles come back as they went in."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from features.columns.tile_table import Tiles
from features.columns.values import Values
from features.plan import ViewPlan
from features.tiles.codec import NOTHING_DROPPED, TileCodec
from features.tiles.packed_value import PackedValue, put_together
from features.window import Lifetime, Sliding
from schemas.errors import DataError
from schemas.types import DataType
from tests.features.kernel.example import TILE_MS, VIEW, build_tiles, tile_table
from tests.features.kernel.test_kernel_is_the_oracle import event, histories

NUMBERS = replace(
    VIEW,
    name="numbers",
    partials=tuple(p for p in VIEW.partials if p.type is not DataType.STRING),
    features=tuple(f for f in VIEW.features if all(p.type is not DataType.STRING for p in f.partials)),
)


def packed(view: ViewPlan, rows: list[dict[str, Any]]) -> bytes:
    """Rows of one entity as a packed value."""
    rows = sorted(rows, key=lambda row: row["tile_start"])
    table = tile_table(view, rows)
    columns = {column.name: Values.of(table[column.name], column.type) for column in view.tile_columns}
    codec = TileCodec(view=view)
    starts = np.array([row["tile_start"] for row in rows], dtype=np.int64)
    return codec.value(codec.pack(start_ms=starts, revision=np.zeros_like(starts), columns=columns), newest_end_ms=0)


def content(view: ViewPlan, tiles: Tiles) -> list[dict[str, Any]]:
    """Tiles as rows."""
    columns = {column.name: tiles.columns[column.name].arrow(column.type).to_pylist() for column in view.tile_columns}
    own = {"owner": tiles.owner.tolist(), "tile_start": tiles.start_ms.tolist()}
    return [dict(zip([*own, *columns], row, strict=True)) for row in zip(*own.values(), *columns.values(), strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("view", [VIEW, NUMBERS], ids=["with strings", "fixed width"])
@settings(max_examples=40, deadline=None)
@given(histories())
def test_a_round_trip_loses_nothing(view: ViewPlan, history: tuple[list[dict[str, Any]], Any]) -> None:
    rows = build_tiles(view, history[0])
    by_key = [sorted((row for row in rows if row["key"] == key), key=lambda row: row["tile_start"]) for key in ("a", "b")]
    read = TileCodec(view=view).unpack([packed(view, by_key[0]), None, packed(view, by_key[1])])
    assert read.kept_from_ms.tolist() == [NOTHING_DROPPED] * 3
    table = [tile_table(view, rows).to_pylist() for rows in by_key]
    expected = [{"owner": 2 * number, **{k: v for k, v in row.items() if k != "key"}} for number in (0, 1) for row in table[number]]
    assert [{k: abs(v) if v == 0.0 else v for k, v in row.items()} for row in content(view, read.tiles)] == [
        {k: abs(v) if v == 0.0 else v for k, v in row.items()} for row in expected
    ]


@pytest.mark.parametrize("view", [VIEW, NUMBERS], ids=["with strings", "fixed width"])
def test_tiles_outside_the_asked_time_are_left_out(view: ViewPlan) -> None:
    value = packed(view, build_tiles(view, [event(k * TILE_MS, i=k, word="é") for k in range(-3, 4)]))
    read = TileCodec(view=view).unpack([value], since_ms=-TILE_MS, before_ms=2 * TILE_MS)
    assert read.tiles.start_ms.tolist() == [-TILE_MS, 0, TILE_MS]
    assert read.tiles.columns["sum_i"].numbers.tolist() == [-1, 0, 1]


@pytest.mark.parametrize("view", [VIEW, NUMBERS], ids=["with strings", "fixed width"])
@pytest.mark.parametrize(
    "damage", [lambda v: v[:-1], lambda v: v + b"\0", lambda v: v[:10], lambda v: v[:24] + b"\xff" + v[25:], lambda v: v[:30]]
)
def test_damaged_values_are_refused_in_one_line(view: ViewPlan, damage: Any) -> None:
    value = damage(packed(view, build_tiles(view, [event(0, i=1, word="x"), event(TILE_MS)])))
    with pytest.raises(DataError, match=r"packed tiles of view '.*' are damaged: .*; rebuild") as refusal:
        TileCodec(view=view).unpack([value])
    assert "\n" not in str(refusal.value)


def test_another_definitions_tiles_are_not_read_as_this_ones() -> None:
    changed = replace(NUMBERS, where=VIEW.partials[1].where)
    assert TileCodec(view=changed).layout != TileCodec(view=NUMBERS).layout
    codec = TileCodec(view=NUMBERS)
    read = TileCodec(view=changed).unpack([codec.value([], newest_end_ms=7 * TILE_MS)])
    assert len(read.tiles.start_ms) == 0
    assert read.kept_from_ms.tolist() == [7 * TILE_MS]


def test_a_new_window_over_the_same_partials_reads_the_same_tiles() -> None:
    wider = tuple(replace(feature, window=Sliding(size_ms=feature.window.reach_ms * 2)) for feature in NUMBERS.features)
    assert TileCodec(view=replace(NUMBERS, features=wider, delay_ms=0)).layout == TileCodec(view=NUMBERS).layout


def test_a_packed_value_is_taken_apart_in_time_that_grows_with_its_records() -> None:
    codec = TileCodec(view=replace(NUMBERS, features=tuple(replace(feature, window=Lifetime()) for feature in NUMBERS.features)))
    (one,) = build_tiles(codec.view, [event(0, i=1)])
    record = bytes(codec.records(packed(codec.view, [one])))

    def seconds(count: int) -> float:
        whole = codec.value([record] * count, newest_end_ms=0)
        took = []
        for _ in range(3):
            began = time.process_time()
            value = PackedValue.of(codec, whole)
            took.append(time.process_time() - began)
            assert value is not None
            assert len(value.records) == count
            again = put_together(codec, kept_from_ms=value.kept_from_ms, newest_end_ms=0, block=value.block, records=value.records.each())
            assert again == whole
        return min(took)

    assert seconds(20_000) < 40 * seconds(2_000)  # ten times as many records; it was a hundred times as long
