"""Features without a window, in the store: all that a key ever had counts, once each, whatever came late, again, or from several writers."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inference.online.writer
from features.tiles.base_block import BaseBlock
from features.tiles.codec import TileCodec
from features.tiles.packed_value import PackedValue
from features.tiles.ranges import TileRanges
from inference.online.compactor import RETIRE_AT, Compactor
from inference.online.redis.connection import Client
from inference.online.writer import TileWriter
from schemas.errors import DataError, SettingError
from tests.features.kernel.example import DELAY_MS, EVER_QUESTIONS, EVER_VIEW, TILE_MS
from tests.features.kernel.test_kernel_is_the_oracle import assert_same, histories, values
from tests.inference.example import SERVICE
from tests.inference.online.ever import (
    EVERY,
    NOW_MS,
    NUMBERS,
    ONLY,
    PLAIN,
    VIEWS,
    numbered,
    read,
    shuffled,
    stored,
    tiles_of,
    total,
    write,
    writer_of,
)
from tests.oracle import answers
from tests.waiting import PATIENCE_S


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(histories(), st.integers(1, 5), st.sampled_from([1, 3, 32]), st.randoms(use_true_random=False))
def test_whatever_left_the_kept_tiles_still_counts_once_in_any_order(
    client: Client, history: tuple[list[dict[str, Any]], Any], size: int, retire_at: int, random: random.Random
) -> None:
    events, _ = history
    client.flushall()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference.online.writer, "RETIRE_AT", retire_at)
        for view in VIEWS:
            write(writer_of(client, view), shuffled(tiles_of(view, events), random, 4), size)
    end = max((e["t"] // TILE_MS + 1 for e in events), default=0)
    rows: list[tuple[str | None, int]] = [(key, (end + k) * TILE_MS + DELAY_MS) for key in ("a", "b", "silent") for k in (0, 3, 10**6)]
    served = read(client, rows, EVERY)
    assert not any(served.table["stale"].to_pylist())
    columns = {name: values(served.table[name].combine_chunks()) for name in served.table.column_names}
    inputs = [e[column] for e in events for column in ("x", "i") if e[column] is not None]
    for number, (key, as_of) in enumerate(rows):
        said = answers(
            EVER_QUESTIONS,
            events,
            time="t",
            belongs=lambda e, key=key: bool(e["key"] == key),  # type: ignore[misc]
            as_of_ms=as_of,
            tile_ms=TILE_MS,
            delay_ms=DELAY_MS,
        )
        for view in VIEWS:
            own = {feature.name for feature in view.features}
            for question in EVER_QUESTIONS:
                if f"{view.name}_{question.name}" in own:
                    assert_same(question, columns[f"{view.name}_{question.name}"][number], said[question.name], inputs)


@pytest.mark.slow
def test_a_key_keeps_its_latest_tiles_one_base_and_a_few_bytes_however_long_it_lives(client: Client) -> None:
    writer = writer_of(client)
    sizes = []
    for first in range(0, 4_000, 50):
        writer.write(tiles_of(NUMBERS, numbered(range(first, first + 50))))
        sizes.append(len(stored(client)))
    assert total(client, 4_000) == (4_000, False)
    kept = TileCodec(view=NUMBERS).unpack([stored(client)])
    assert kept.tiles.base is not None
    assert kept.tiles.base.tolist().count(True) == 1
    assert len(kept.tiles.start_ms) <= 1 + writer.retention_ms // TILE_MS + RETIRE_AT
    assert max(sizes[-40:]) <= max(sizes[:40]) + 8


def test_a_read_from_before_the_base_s_end_is_stale_and_knows_nothing_later(client: Client) -> None:
    writer_of(client).write(tiles_of(NUMBERS, numbered(range(100))))
    (kept_from,) = (TileCodec(view=NUMBERS).unpack([stored(client)]).kept_from_ms // TILE_MS).tolist()
    assert kept_from == 100 - 25
    assert total(client, kept_from + 5) == (kept_from + 5, False)  # the longest window is five tiles
    assert total(client, kept_from + 4) == (kept_from + 4, True)  # of the windows; the sum itself is still right
    assert total(client, kept_from - 1) == (0, True)


def test_an_only_lifetime_view_reads_exactly_from_the_base_s_end_on(client: Client) -> None:
    writer_of(client, ONLY).write(tiles_of(ONLY, numbered(range(100))))
    expected = [(79, 0, True), (80, 80, False), (81, 81, False), (100, 100, False)]
    for batch in (expected, *([row] for row in expected)):  # what else a batch asks for changes nothing
        served = read(client, [("a", k * TILE_MS + DELAY_MS) for k, _, _ in batch], replace(SERVICE, views=(ONLY,)))
        assert served.table["ever_only_sum_i_ever"].to_pylist() == [total for _, total, _ in batch]
        assert served.table["stale"].to_pylist() == [stale for _, _, stale in batch]


def test_a_writer_that_dies_before_it_has_merged_what_it_brought_leaves_no_half_counted_tile(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = writer_of(client)
    writer.write(tiles_of(NUMBERS, numbered(range(100, 200))))
    again = tiles_of(NUMBERS, numbered(range(90, 110)), revision=-1)
    with monkeypatch.context() as patch:
        patch.setattr(Compactor, "compact", lambda self, keys: None)
        writer.write(again)
    assert total(client, 200) == (100, False)
    writer.write(again)
    assert total(client, 200) == (110, False)


@pytest.mark.parametrize("seed", range(3))
def test_history_after_the_stream_is_added_where_the_stream_had_nothing(client: Client, seed: int) -> None:
    dice = random.Random(seed)
    writer = writer_of(client)
    write(writer, shuffled(tiles_of(NUMBERS, numbered(range(200, 400, 2))), dice, 5), 7)
    assert total(client, 400) == (100, False)
    past = tiles_of(NUMBERS, numbered(range(400)), revision=-1)  # also the tiles that the stream has seen, and some that it has not
    write(writer, shuffled(past, dice, 50), 13)
    assert total(client, 400) == (400, False)
    write(writer, shuffled(past, dice, 0), 50)
    assert total(client, 400) == (400, False)


def test_the_stream_after_history_does_not_count_its_tiles_again(client: Client) -> None:
    writer = writer_of(client)
    write(writer, tiles_of(NUMBERS, numbered(range(400)), revision=-1), 50)
    write(writer, tiles_of(NUMBERS, numbered(range(100, 500))), 50)
    assert total(client, 500) == (500, False)


def test_a_bootstrap_in_parts_and_in_any_order_leaves_no_hole(client: Client) -> None:
    writer = writer_of(client)
    writer.write(tiles_of(NUMBERS, numbered(range(300, 400))))
    for part in (range(100, 200), range(100), range(250, 300), range(150, 260)):
        writer.write(tiles_of(NUMBERS, numbered(part), revision=-1))
    assert total(client, 400) == (400, False)


def test_a_correction_of_a_merged_tile_is_stale_until_all_of_them_came_again(client: Client) -> None:
    writer = writer_of(client)
    writer.write(tiles_of(NUMBERS, numbered(range(200))))
    writer.write(tiles_of(NUMBERS, numbered([190], each=5), revision=NOW_MS))
    assert total(client, 200) == (204, False)  # that one was kept
    writer.write(tiles_of(NUMBERS, numbered([3], each=7), revision=NOW_MS))
    assert total(client, 200) == (204, True)
    again = [*numbered(range(3)), *numbered([3], each=7), *numbered(range(4, 190)), *numbered([190], each=5), *numbered(range(191, 200))]
    write(writer, shuffled(tiles_of(NUMBERS, again[:-60], revision=NOW_MS + 1), random.Random(3), 10), 11)
    assert total(client, 200) == (204, True)  # what is there before, until the last one came
    writer.write(tiles_of(NUMBERS, numbered(range(200, 260))))  # the stream goes on
    write(writer, tiles_of(NUMBERS, again[-60:], revision=NOW_MS + 1), 11)
    assert total(client, 260) == (270, False)
    writer.write(tiles_of(NUMBERS, numbered([3], each=7), revision=NOW_MS))
    assert total(client, 260) == (270, False)


@pytest.mark.slow
@pytest.mark.parametrize("corrected", [False, True])
def test_one_replacement_brings_a_base_right_though_what_it_never_had_comes_first(client: Client, corrected: bool) -> None:
    writer = writer_of(client)
    write(writer, tiles_of(NUMBERS, numbered(range(5_000, 5_200))), 50)
    if corrected:
        writer.write(tiles_of(NUMBERS, numbered([5_003], each=7), revision=NOW_MS - 1))
    assert total(client, 5_200) == (200, corrected)
    write(writer, tiles_of(NUMBERS, numbered(range(5_200)), revision=NOW_MS), 500)
    assert total(client, 5_200) == (5_200, False)
    writer.write(tiles_of(NUMBERS, numbered(range(5_200, 7_000))))
    assert total(client, 7_000) == (7_000, False)


@pytest.mark.parametrize("seed", range(4))
def test_a_replacement_in_any_order_beside_the_stream_ends_right(client: Client, seed: int) -> None:
    dice = random.Random(seed)
    writer = writer_of(client)
    seen = sorted(dice.sample(range(300), 200))
    write(writer, shuffled(tiles_of(NUMBERS, numbered(seen)), dice, 5), 20)
    for number in dice.sample(seen, 3):
        writer.write(tiles_of(NUMBERS, numbered([number], each=3), revision=NOW_MS - dice.randrange(2, 10**8)))
    again = shuffled(tiles_of(NUMBERS, numbered(range(300), each=2), revision=NOW_MS), dice, 20)
    for place in range(0, len(again), 16):
        writer.write(again.slice(place, 16))
        writer.write(tiles_of(NUMBERS, numbered([300 + place // 16])))
    end = 300 + len(range(0, len(again), 16))
    assert total(client, end) == (600 + end - 300, False)


def test_a_correction_that_brings_a_tile_the_base_never_had_makes_nothing_stale(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = writer_of(client)
    writer.write(tiles_of(NUMBERS, numbered([n for n in range(200) if n not in (3, 5)])))
    for number in (3, 5):
        writer.write(tiles_of(NUMBERS, numbered([number]), revision=NOW_MS + number))
        assert total(client, 200) == (198 + (number == 5) + 1, False)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: (NOW_MS + 25 * 3_600_000) * 1_000_000)
        writer.write(tiles_of(NUMBERS, numbered(range(200, 400))))
    assert total(client, 400) == (400, False)
    value = PackedValue.of(TileCodec(view=NUMBERS), stored(client))
    assert value is not None
    assert BaseBlock.of(value.block).next is None  # nothing is kept for a replacement that did not come


@pytest.mark.slow
@pytest.mark.parametrize("age_ms", [0, 25 * 3_600_000])
def test_a_correction_does_not_let_every_write_read_the_key_back(client: Client, monkeypatch: pytest.MonkeyPatch, age_ms: int) -> None:
    writer = writer_of(client)
    writer.write(tiles_of(NUMBERS, numbered(range(200))))
    writer.write(tiles_of(NUMBERS, numbered([3], each=7), revision=NOW_MS - age_ms))
    retired: list[bytes] = []
    compact = Compactor.compact

    def counted(bases: Compactor, keys: Sequence[bytes]) -> None:
        retired.extend(keys)
        compact(bases, keys)

    with monkeypatch.context() as patch:
        patch.setattr(Compactor, "compact", counted)
        for number in range(200, 700):
            writer.write(tiles_of(NUMBERS, numbered([number])))
    assert len(retired) <= 500 // RETIRE_AT
    assert total(client, 700) == (700, True)


def test_a_changed_definition_is_stale_since_the_base_was_of_another(client: Client) -> None:
    writer_of(client).write(tiles_of(NUMBERS, numbered(range(100))))
    changed = replace(NUMBERS, where=EVER_VIEW.partials[1].where)
    writer_of(client, changed).write(tiles_of(changed, numbered(range(100, 200))))
    (row,) = read(client, [("a", 200 * TILE_MS + DELAY_MS)], replace(PLAIN, views=(changed,))).table.to_pylist()
    assert (row["ever_numbers_sum_i_ever"], row["stale"]) == (100, True)


def test_a_time_to_live_is_refused() -> None:
    with pytest.raises(SettingError, match="TIDEMARK_ONLINE_TTL: view 'ever_numbers' has Lifetime features"):
        TileWriter(NUMBERS, None, ttl_ms=60_000)  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", [lambda v: v[:30], lambda v: v[:24] + b"\xff\xff\xff\0" + v[28:], lambda v: v[:60] + bytes(400)])
def test_a_damaged_base_is_refused_in_one_line(client: Client, damage: Any) -> None:
    writer_of(client).write(tiles_of(NUMBERS, numbered(range(100))))
    with pytest.raises(DataError, match=r"packed tiles of view 'ever_numbers' are damaged: .*; rebuild") as refusal:
        TileCodec(view=NUMBERS).unpack([damage(stored(client))])
    assert "\n" not in str(refusal.value)


WRITER = """
import random, sys
import inference.online.writer
from inference.online.redis.connection import connect
from tests.inference.online.ever import NUMBERS, numbered, tiles_of, writer_of
inference.online.writer.RETIRE_AT = 2
seed = int(sys.argv[2])
numbers = list(range(seed, 300, 2)) + list(range(0, 300, 7))
random.Random(seed).shuffle(numbers)
writer = writer_of(connect(sys.argv[1]), frontier=None)
for first in range(0, len(numbers), 5):
    part = numbers[first : first + 5]
    writer.write(tiles_of(NUMBERS, [e for key in "ab" for e in numbered(part, key=key)]))
"""


@pytest.mark.slow
def test_two_processes_that_merge_the_same_keys_lose_and_double_nothing(client: Client, valkey: str) -> None:
    root = Path(__file__).parents[3]
    racers = [subprocess.Popen([sys.executable, "-c", WRITER, valkey, str(seed)], cwd=root) for seed in (0, 1)]
    assert [racer.wait(timeout=PATIENCE_S) for racer in racers] == [0, 0]
    writer_of(client).write(tiles_of(NUMBERS, [e for key in "ab" for e in numbered([300], key=key)]))
    assert [total(client, 301, key) for key in "ab"] == [(301, False)] * 2


def test_ledgers_of_any_order_are_the_same_and_say_what_they_have() -> None:
    dice = random.Random(1)
    tiles = {number: dice.choice([-1, 0, 0, 0, 17]) for number in dice.sample(range(-300, 300), 400)}
    order = list(tiles)
    dice.shuffle(order)
    ranges = TileRanges.empty()
    for part in np.array_split(np.array(order, dtype=np.int64), 9):
        ranges = ranges.add(part, np.array([tiles[int(number)] for number in part], dtype=np.int64))
    again = TileRanges.of(ranges.packed)
    asked = np.arange(-310, 310)
    here, revision = again.find(asked)
    assert {int(n): int(r) for n, r, h in zip(asked, revision, here, strict=True) if h} == tiles
    assert again.tiles == len(tiles)
    sorted_ = np.array(sorted(tiles), dtype=np.int64)
    whole = TileRanges.empty().add(sorted_, np.array([tiles[int(n)] for n in sorted_], dtype=np.int64))
    assert whole.packed == ranges.packed
    assert ranges.covers(whole)
    assert ranges.covers(TileRanges.empty())
    assert not TileRanges.empty().covers(ranges)
    without = TileRanges.empty().add(sorted_[:-1], np.zeros(len(sorted_) - 1, dtype=np.int64))
    assert (ranges.covers(without), without.covers(ranges)) == (True, False)
