"""Long windows and busy keys: what is compared with is what the oracle says, all that is timed is what a stream brings, and a wrong answer is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.benchmark import WrongAnswerError, benchmarks
from benchmarks.busy import inputs
from benchmarks.busy.cases import CARDS, TILES, WINDOW
from benchmarks.busy.inputs import DAY, END, FEATURES, HOUR, MINUTE_MS, SLACK, every_minute, now_and_then, right
from benchmarks.online.valkey import valkey
from benchmarks.works import busy_keys, windows
from benchmarks.works.busy_keys import limit
from benchmarks.works.busy_keys import ours as reader
from benchmarks.works.windows import cases, ours
from features.window import Sliding
from tests.oracle import Question, aggregate

QUESTIONS = [
    Question(name=name, aggregation=aggregation, window_ms=None, value=lambda event: event["amount"])
    for name, aggregation in zip(FEATURES, ("Count", "Sum", "Max"), strict=True)
]


def says(given: inputs.Events, card: int, begin: int, end: int) -> dict[str, Any]:
    """The oracle, of the events of a card in `[begin, end)`."""
    rows = zip(given.card.tolist(), given.minute.tolist(), given.cents.tolist(), strict=True)
    held = [{"time": minute, "amount": cents / 100} for whose, minute, cents in rows if whose == card and begin <= minute < end]
    return {question.name: aggregate(question, held, "time") if held or question.aggregation == "Count" else None for question in QUESTIONS}


@pytest.mark.parametrize(("window", "hop"), [(60, 1), (60, 60), (1, 1), (120, 60), (100, 20)])
def test_what_windows_hold_is_what_the_oracle_says(window: int, hop: int) -> None:
    given = now_and_then([1, 7, 400], cards=2, minutes=300)
    asked = [(card, end) for card in range(6) for end in (END, END - 1, END - 29, END - 30, END - 31, END - 90)]
    found = given.answers(*zip(*asked, strict=True), window=window, hop=hop)
    expected = [says(given, card, (end - window) // hop * hop, end) for card, end in asked]
    assert any(row["payments"] == 0 for row in expected)
    right(
        found, pa.table({"card": [given.cards[card] for card, _ in asked]} | {name: [row[name] for row in expected] for name in FEATURES})
    )


def test_an_event_is_the_same_however_many_came_before() -> None:
    short, long = every_minute(3, 10), every_minute(3, 100).between(END - 10, END)
    for name in ("card", "minute", "cents"):
        assert np.array_equal(getattr(short, name), getattr(long, name))


def test_a_window_has_each_number_of_tiles_of_a_hundred_cards() -> None:
    given = busy_keys.store.events()
    held = given.answers(range(len(given.cards)), [END] * len(given.cards), window=WINDOW)["payments"].to_pylist()
    assert held == [tiles for tiles in TILES for _ in range(CARDS)]


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("payments", lambda value: value + 1, "payments of card-01, row 1"),
        ("amount_sum", lambda value: value * (1 + 1e-11), "amount_sum of card-01, row 1"),
        ("amount_max", lambda value: np.nextafter(value, 0.0), "amount_max of card-01, row 1"),
        ("amount_max", lambda value: None, "amount_max of card-01, row 1"),
        ("stale", lambda value: True, "stale"),
        ("card", lambda value: "another", "not those that were asked for"),
    ],
)
def test_an_answer_that_is_a_little_wrong_fails(name: str, change: Any, why: str) -> None:
    expected = every_minute(3, 60).answers(range(3), [END] * 3, window=60)
    answers = expected.append_column("stale", pa.array([False] * 3))
    right(answers, expected)
    values: list[Any] = answers[name].to_pylist()
    values[1] = change(values[1])
    with pytest.raises(WrongAnswerError, match=why):
        right(answers.set_column(answers.column_names.index(name), name, pa.array(values)), expected)


def test_every_case_is_the_window_that_it_says() -> None:
    for case in cases.CASES:
        (view,) = inputs.service(case.view).views
        hop_ms = 1 if case.hop == 1 else case.hop * MINUTE_MS
        assert view.windows == (Sliding(size_ms=case.window * MINUTE_MS, hop_ms=hop_ms),)
        assert (view.levels_ms[-1], view.tile_ms) == (max(hop_ms, MINUTE_MS), MINUTE_MS)
        assert case.written >= 2 * HOUR
    assert len({case.name for case in cases.CASES}) == len(cases.CASES)


def test_the_goals_are_of_the_cases_that_a_quick_run_has_too() -> None:
    goals = benchmarks()["windows"].goals
    assert {name for goal in goals for name in (goal.of, *goal.to)} == {case.name for case in windows._QUICK}


@pytest.mark.parametrize("at_once", [1, HOUR, DAY])
def test_a_history_comes_in_order_with_a_closing_of_every_minute(at_once: int) -> None:
    (view,) = inputs.service("exact_3h").views
    given = ours.history(view, written=2 * HOUR)
    first = int(given.minute[0])
    assert END - 2 * HOUR - first > view.longest_window_ms // MINUTE_MS + SLACK
    steps = list(ours._steps(view, given, first, END, at_once))
    assert {len(closings) for _, closings in steps[1:]} <= {at_once}
    closings = [closing for _, each in steps for closing in each]
    assert closings == [((minute + 1) * MINUTE_MS, cases.CARDS) for minute in range(first, END)]
    tiles = pa.concat_tables(tiles for tiles, _ in steps)
    assert tiles.equals(given.tiles(view))
    for each, own in steps:
        starts = each["tile_start"].cast(pa.int64()).to_numpy()
        assert np.array_equal(np.unique(starts) + MINUTE_MS, [end for end, _ in own])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1 hour", "1 day, hop 1 hour"])
def test_a_window_is_written_read_and_folded_as_its_events_say(tmp_path: Path, name: str) -> None:
    (case,) = (case for case in cases.CASES if case.name == name)
    with valkey(tmp_path) as address:
        ours.main(address, case, 2 * HOUR, 0.01, tmp_path)
    windows.check(tmp_path, case)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert {goal.figure for goal in windows.BENCHMARK.goals} | set(windows.BENCHMARK.shown) <= figures.keys()
    assert all(value > 0 for value in figures.values())
    assert figures["key_accounts_bytes"] < 200  # every minute was closed: nothing is left to wait
    for file in ("answers", "folded"):
        path = tmp_path / f"{file}.parquet"
        found = pq.read_table(path)
        count = np.asarray(found["payments"]).copy()
        count[-1] += 1
        pq.write_table(found.set_column(found.column_names.index("payments"), "payments", pa.array(count)), path)
        with pytest.raises(WrongAnswerError, match="payments of card-19"):
            windows.check(tmp_path, case)
        pq.write_table(found, path)


@pytest.mark.slow
def test_busy_cards_are_read_as_their_events_say_from_bytes_that_are_counted(tmp_path: Path) -> None:
    given = busy_keys.store.events()
    everyone = range(len(given.cards))
    pq.write_table(given.answers(everyone, [END] * len(everyone), window=WINDOW), tmp_path / "thousand_tiles.parquet")
    with valkey(tmp_path) as address:
        reader.main(address, tmp_path, 0.01)
        busy_keys.check.features(tmp_path, tmp_path)
    with valkey(tmp_path) as address:
        limit.main(address, tmp_path, 0.01)
    busy_keys.check.sizes(tmp_path)
    read = json.loads((tmp_path / "bytes.json").read_text())
    (tmp_path / "bytes.json").write_text(json.dumps(read | {busy_keys.CHIEF.name: read[busy_keys.CHIEF.name] - 45}))
    with pytest.raises(WrongAnswerError, match="of_1000_tiles"):
        busy_keys.check.sizes(tmp_path)
    fewer = pq.read_table(tmp_path / f"{busy_keys.CHIEF.name}.parquet").slice(1)
    pq.write_table(fewer, tmp_path / f"{busy_keys.CHIEF.name}.parquet")
    with pytest.raises(WrongAnswerError, match="not those that were asked for"):
        busy_keys.check.features(tmp_path, tmp_path)
