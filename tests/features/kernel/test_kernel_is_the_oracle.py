"""Whatever the events, the kernel over tiles says what the oracle says over events."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.columns.values import Int64s
from features.kernel.fold import fold, fold_counting
from features.plan import ViewPlan
from features.window import Sliding
from tests.e2e.readings.agreement import apart
from tests.features.kernel.example import (
    DELAY_MS,
    HOP_QUESTIONS,
    HOP_VIEW,
    HOP_WINDOWS,
    PER_OCTAVE,
    QUESTIONS,
    TILE_MS,
    VIEW,
    WINDOWS_MS,
    as_tiles,
    build_tiles,
)
from tests.oracle import Question, aggregate, answers, counted, exact_sum

exact_and_with_hops = pytest.mark.parametrize(("view", "questions"), [(VIEW, QUESTIONS), (HOP_VIEW, HOP_QUESTIONS)], ids=["exact", "hops"])
"""Every law of windows holds of both views."""
KEYS = ("a", "b", "silent")
OWNERS = {key: number for number, key in enumerate(KEYS)}
DST_DAY_MS = int(datetime(2013, 3, 10, 6, 59, tzinfo=UTC).timestamp() * 1000)
AUTUMN_DST_DAY_MS = int(datetime(2013, 11, 3, 5, 59, tzinfo=UTC).timestamp() * 1000)
ORIGINS_MS = (0, -3 * TILE_MS, -(10**12), DST_DAY_MS, AUTUMN_DST_DAY_MS)

doubles = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.5, 1e-300, 1e9, 1e9 + 0.25, 1e9 + 0.5]),
    st.floats(min_value=-1e6, max_value=1e6),
    st.integers(0, 1000).map(lambda n: 1e9 + n / 1024),
)
huge_doubles = st.one_of(doubles, st.sampled_from([1e300, -1e300, 1e154, -3e153]))
integers = st.one_of(st.integers(-5, 5), st.sampled_from([2**62, -(2**62), 2**63 - 1, -(2**63)]))
words = st.one_of(st.sampled_from(["", "a", "B", "b", "ä", "é", "\U0001f600", "\uffff"]), st.text(max_size=3))


def event_at(times: st.SearchStrategy[int], numbers: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, Any]]:
    """Events of the keys that are not silent."""
    maybe_time = st.none() | st.integers(-(10**13), 10**13)
    fields = {
        "x": st.none() | numbers,
        "i": st.none() | integers,
        "word": st.none() | words,
        "flag": st.none() | st.booleans(),
        "at": maybe_time,
    }
    return st.fixed_dictionaries({"key": st.sampled_from(KEYS[:2]), "t": times, "seq": st.none() | st.integers(0, 2), **fields})


@st.composite
def histories(draw: st.DrawFn, numbers: st.SearchStrategy[float] = doubles) -> tuple[list[dict[str, Any]], list[tuple[str, int]]]:
    """Events in any order, many at one time or exactly at an edge; rows (key, as-of) around them."""
    origin = draw(st.sampled_from(ORIGINS_MS))
    edges = st.sampled_from([k * TILE_MS + off for k in (-1, 0, 1, 4, 5, 6, 59, 60, 61, 120, 179, 180, 181, 240) for off in (-1, 0, 1)])
    times = st.one_of(edges, st.integers(-2 * TILE_MS, 200 * TILE_MS)).map(lambda t: origin + t)
    events = draw(st.lists(event_at(times, numbers), max_size=12))
    as_of = st.one_of(edges.map(lambda t: origin + t + DELAY_MS), times)
    rows = draw(st.lists(st.tuples(st.sampled_from(KEYS), as_of), min_size=1, max_size=3))
    return events, rows


def served(events: Sequence[Mapping[str, Any]], rows: Sequence[tuple[str, int]], view: ViewPlan = VIEW) -> list[dict[str, Any]]:
    """What the kernel makes of it, row by row; times as ms."""
    owner, boundary = asked(rows)
    columns = fold(view, as_tiles(view, build_tiles(view, events), OWNERS), owner=owner, boundary_ms=boundary)
    plain = {name: values(column) for name, column in columns.items()}
    return [{name: column[row] for name, column in plain.items()} for row in range(len(rows))]


def values(column: pa.Array[Any]) -> list[Any]:
    """Python values; times as ms."""
    return (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()


def asked(rows: Sequence[tuple[str, int]]) -> tuple[Int64s, Int64s]:
    """Owners and boundaries of rows (key, as-of)."""
    return np.array([OWNERS[key] for key, _ in rows]), VIEW.boundary_ms(np.array([time for _, time in rows], dtype=np.int64))


def assert_same(question: Question, got: Any, expected: Any, inputs: Sequence[float]) -> None:
    """Equal to the bit; sums, means and variances of doubles up to the order of summation."""
    where = f"{question.name}: got {got!r}, the oracle says {expected!r} of {inputs!r}"
    if isinstance(expected, float) and question.aggregation in ("Sum", "Mean", "Variance", "StdDev"):
        scale = float(exact_sum([abs(x) for x in inputs])) if question.aggregation in ("Sum", "Mean") else 0.0
        assert math.isclose(got, expected, rel_tol=1e-12, abs_tol=1e-14 * scale), where
    elif question.aggregation == "CountDistinct":
        assert abs(got - expected) <= max(1, 0.05 * expected), where
    elif question.aggregation == "Quantile" and expected is not None:
        assert math.isclose(got, expected, rel_tol=1 / (2 * PER_OCTAVE + 1) + 1e-15, abs_tol=2.0**-1022), where
    else:
        assert isinstance(got, bool) == isinstance(expected, bool), where
        assert got == expected, where
    assert not (isinstance(got, float) and got == 0.0 and math.copysign(1.0, got) < 0), where


def check(view: ViewPlan, questions: Sequence[Question], events: Sequence[Mapping[str, Any]], rows: Sequence[tuple[str, int]]) -> None:
    """Compare every feature of every row."""
    for (key, as_of), got in zip(rows, served(events, rows, view), strict=True):
        expected = expected_of(events, key, as_of, questions)
        for question in questions:
            assert_same(question, got[question.name], expected[question.name], inputs_of(question, events, key, as_of))


def inputs_of(question: Question, events: Sequence[Mapping[str, Any]], key: str | None, as_of: int) -> list[float]:
    """The numbers that an answer is made of: what is added is as exact as their size lets it be."""
    own = counted(question, [event for event in events if event["key"] == key], "t", (as_of - DELAY_MS) // TILE_MS * TILE_MS)
    found = [] if question.value is None else [question.value(event) for event in own]
    return [value for value in found if isinstance(value, int | float)]


def expected_of(
    events: Sequence[Mapping[str, Any]], key: str | None, as_of: int, questions: Sequence[Question] = QUESTIONS
) -> dict[str, Any]:
    """What the oracle says of one row."""

    def belongs(event: Mapping[str, Any]) -> bool:
        return bool(event["key"] == key)

    return answers(questions, events, time="t", belongs=belongs, as_of_ms=as_of, tile_ms=TILE_MS, delay_ms=DELAY_MS)


def event(t: int, **fields: Any) -> dict[str, Any]:
    """An event of key a."""
    return {"key": "a", "t": t, "x": None, "i": None, "word": None, "flag": None, "at": None, "seq": None} | fields


@pytest.mark.slow
@exact_and_with_hops
@settings(max_examples=100, deadline=None)
@given(history=histories())
@example(history=([event(TILE_MS, x=1.0), event(TILE_MS, x=-0.0)], [("a", 2 * TILE_MS + DELAY_MS), ("silent", 0)]))
def test_every_feature_equals_the_oracle(
    view: ViewPlan, questions: Sequence[Question], history: tuple[list[dict[str, Any]], list[tuple[str, int]]]
) -> None:
    check(view, questions, *history)


@pytest.mark.slow
@exact_and_with_hops
@settings(max_examples=40, deadline=None)
@given(history=histories(huge_doubles))
def test_huge_numbers_equal_the_oracle_where_a_double_can_hold_them(
    view: ViewPlan, questions: Sequence[Question], history: tuple[list[dict[str, Any]], list[tuple[str, int]]]
) -> None:
    events, rows = history
    for (key, as_of), got in zip(rows, served(events, rows, view), strict=True):
        expected = expected_of(events, key, as_of, questions)
        for question in questions:
            if question.aggregation in ("Variance", "StdDev"):
                value = got[question.name]
                assert value is None or value >= 0, f"{question.name}: {value}"  # infinite, never NaN
                assert (value is None) == (expected[question.name] is None)
            else:
                assert_same(question, got[question.name], expected[question.name], inputs_of(question, events, key, as_of))


def test_what_is_outside_a_window_makes_no_difference_smaller() -> None:
    question = Question(name="level_sum", aggregation="Sum", window_ms=TILE_MS, value=itemgetter("x"), where=lambda row: row["flag"])
    events = [
        event(0, x=1.0, flag=True),
        event(0, x=1e9, flag=False),
        event(0, flag=True),
        *(event(TILE_MS * n, x=1e9, flag=True) for n in (-1, 1)),
    ]
    own = counted(question, events, "t", TILE_MS)
    assert (own, aggregate(question, own, "t")) == (events[:1], 1.0)
    assert apart(question, 1.1, 1.0, own) == pytest.approx(0.1)
    assert apart(question, 1.1, 1.0, events[:1] + events[3:]) < 1e-9


@pytest.mark.parametrize("window", WINDOWS_MS)
@pytest.mark.parametrize("boundary", [0, -(10**9) * TILE_MS, DST_DAY_MS // TILE_MS * TILE_MS])
def test_a_window_holds_its_first_millisecond_and_not_its_end(window: str, boundary: int) -> None:
    width = WINDOWS_MS[window]
    inside = [event(boundary - 1, i=1), event(boundary - width, i=10)]
    outside = [event(boundary, i=100), event(boundary - width - 1, i=1000)]
    (row,) = served(outside + inside, [("a", boundary + DELAY_MS)])
    assert row[f"sum_i_{window}"] == 11
    assert row[f"count_{window}"] == 2
    (early,) = served(outside + inside, [("a", boundary + DELAY_MS - 1)])
    assert early[f"max_i_{window}"] != 100


@pytest.mark.parametrize("label", ["12m_by_5m", "2h_by_1h"])
@pytest.mark.parametrize("stroke", [0, -(10**9), 86_400_000 * 365 * 40])
def test_a_window_with_a_hop_begins_on_the_stroke_and_keeps_that_until_the_next(label: str, stroke: int) -> None:
    window = HOP_WINDOWS[label]
    assert isinstance(window, Sliding)
    begin = stroke // window.hop_ms * window.hop_ms
    events = [event(begin - 1, i=1), event(begin, i=10), event(begin + window.hop_ms, i=100)]
    ends = range(begin + window.size_ms - TILE_MS, begin + window.size_ms + window.hop_ms + TILE_MS, TILE_MS)
    found = served(events, [("a", end + DELAY_MS) for end in ends], HOP_VIEW)
    first, *inside, last = [row[f"sum_i_{label}"] for row in found]
    assert (first, set(inside), last) == (111, {110}, 100)


@exact_and_with_hops
def test_a_key_that_goes_silent_decays_to_the_empty_value(view: ViewPlan, questions: Sequence[Question]) -> None:
    events = [event(0, x=2.0, i=3, word="w", flag=True)]
    after = TILE_MS * 200 + DELAY_MS
    gone, never = served(events, [("a", after), ("silent", after)], view)
    assert gone == never
    for question in questions:
        assert gone[question.name] == (0 if question.aggregation in ("Count", "Sum", "CountDistinct", "CategoryCounts") else None)


def test_variance_is_stable_when_the_mean_dwarfs_the_spread() -> None:
    values = [1e9 + k / 1024 for k in (0, 1, 2, 3, 500, 7)]
    events = [event(k * TILE_MS // 2, x=value) for k, value in enumerate(values)]
    (row,) = served(events, [("a", 10 * TILE_MS + DELAY_MS)])
    mean = sum(k for k in (0, 1, 2, 3, 500, 7)) / 6
    expected = sum((k - mean) ** 2 for k in (0, 1, 2, 3, 500, 7)) / 5 / 1024**2
    assert row["variance_x_3h"] == pytest.approx(expected, rel=1e-12)


def test_no_tiles_and_no_rows_are_fine() -> None:
    (row,) = served([], [("a", 0)])
    assert row["count_3h"] == 0
    assert row["last_word_3h"] is None
    assert served([event(0)], []) == []


def test_the_tiles_of_the_longest_window_are_counted() -> None:
    tiles = as_tiles(VIEW, build_tiles(VIEW, [event(0), event(TILE_MS), event(1)]), OWNERS)
    rows = [("a", DELAY_MS), ("a", TILE_MS + DELAY_MS), ("a", 9 * TILE_MS + DELAY_MS), ("b", 9 * TILE_MS)]
    owner, boundary = asked(rows)
    assert fold_counting(VIEW, tiles, owner=owner, boundary_ms=boundary)[1].tolist() == [0, 1, 2, 0]
