"""Whatever comes, in whatever order, late, twice or with nulls: a replay says what the oracle says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.plan import Plan, ViewPlan
from features.testing import Harness
from features.testing.tiles import tiles_of
from schemas.schema import SchemaSet, parse
from schemas.types import DataType
from tests.features.kernel.example import (
    COLUMNS,
    DELAY_MS,
    EVER_QUESTIONS,
    EVER_VIEW,
    HOP_VIEW,
    QUESTIONS,
    SOURCE,
    TILE_MS,
    VIEW,
)
from tests.features.kernel.test_kernel_is_the_oracle import assert_same, doubles, event_at, exact_and_with_hops, inputs_of, values
from tests.oracle import Event, Question, answers, in_time, without_repeats

ONCE = replace(SOURCE, id="key", dedupe_ms=1)
"""Repeats are those of one key and time: that makes many of them."""
AVRO = {
    DataType.STRING: "string",
    DataType.FLOAT64: "double",
    DataType.INT64: "long",
    DataType.BOOLEAN: "boolean",
    DataType.TIMESTAMP: {"type": "long", "logicalType": "timestamp-millis"},
}
FIELDS = [{"name": name, "type": AVRO[type_] if name in ("key", "t") else ["null", AVRO[type_]]} for name, type_ in COLUMNS.items()]
SCHEMAS = SchemaSet([parse({"type": "record", "name": "event", "fields": FIELDS}, name="event"), SchemaSet.load().current("watermark")])

edges = st.sampled_from([k * TILE_MS + off for k in (-1, 0, 1, 4, 5, 6, 59, 60, 61, 179, 180) for off in (-1, 0, 1)])
times = st.one_of(edges, st.integers(-2 * TILE_MS, 20 * TILE_MS))
arrivals = st.lists(event_at(times, doubles), max_size=14)


def harness(view: ViewPlan) -> Harness:
    return Harness(plan=Plan(views={view.name: view}), schemas=SCHEMAS)


def served(events: Sequence[Event], lateness_ms: int) -> tuple[list[Event], list[Event]]:
    """Those on time, and those late, one after the other as the watermark runs."""
    newest: int | None = None
    on_time: list[Event] = []
    late: list[Event] = []
    for event in events:
        newest = event["t"] if newest is None else max(newest, event["t"])
        kept = in_time(event, time="t", tile_ms=TILE_MS, watermark_ms=newest - lateness_ms)
        (on_time if kept else late).append(event)
    return on_time, late


def check(view: ViewPlan, questions: Sequence[Question], events: Sequence[Event], as_of: int) -> None:
    seen = harness(view).replay(view.name, events)
    counted, late = served(events, view.source.lateness_ms)
    if view.source.dedupe_ms is not None:
        once = without_repeats(counted, id="key", time="t", fields=[name for name in COLUMNS if name not in ("key", "t")])
        assert len(seen.repeats) == len(counted) - len(once)
        counted = once
    assert (seen.late, seen.dead_letters) == (late, [])
    for key in ("a", "b", "silent"):

        def belongs(event: Mapping[str, Any], key: str = key) -> bool:
            return bool(event["key"] == key)

        expected = answers(questions, counted, time="t", belongs=belongs, as_of_ms=as_of, tile_ms=TILE_MS, delay_ms=DELAY_MS)
        got = seen.as_of(as_of, key=key)
        for question in questions:
            value = values(pa.array([got[question.name]], _type(view, question.name)))[0]
            assert_same(question, value, expected[question.name], inputs_of(question, counted, key, as_of))


def _type(view: ViewPlan, name: str) -> pa.DataType:
    return next(feature.type.arrow for feature in view.features if feature.name == name)


@pytest.mark.slow
@exact_and_with_hops
@settings(max_examples=25, deadline=None)
@given(events=arrivals, as_of=times)
def test_every_aggregation_equals_the_oracle(
    view: ViewPlan, questions: Sequence[Question], events: list[dict[str, Any]], as_of: int
) -> None:
    check(view, questions, events, as_of)


@settings(max_examples=8, deadline=None)
@given(arrivals, times)
def test_all_of_time_equals_the_oracle(events: list[dict[str, Any]], as_of: int) -> None:
    check(EVER_VIEW, EVER_QUESTIONS, events, as_of)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.lists(event_at(edges, doubles), max_size=14), times)
@example([{"key": "a", "t": 0, "x": None, "i": 1, "word": None, "flag": None, "at": None, "seq": None}] * 2, 2 * TILE_MS)
def test_repeats_count_once_as_in_the_oracle(events: list[dict[str, Any]], as_of: int) -> None:
    check(replace(VIEW, source=ONCE), QUESTIONS, events, as_of)


@pytest.mark.slow
@pytest.mark.parametrize("view", [VIEW, HOP_VIEW], ids=["exact", "hops"])
@settings(max_examples=15, deadline=None)
@given(events=arrivals, as_of=times)
def test_what_is_served_is_the_exact_answer_as_of_the_frontier(view: ViewPlan, events: list[dict[str, Any]], as_of: int) -> None:
    seen = harness(view).replay(view.name, events)
    newest = max((event["t"] for event in events), default=None)
    frontier = None if newest is None else (newest - SOURCE.lateness_ms + 1) // TILE_MS * TILE_MS
    boundary = (as_of - DELAY_MS) // TILE_MS * TILE_MS
    exact = frontier is not None and frontier >= boundary
    answer = seen.served(as_of, key="a")
    assert (answer.stale, seen.stale(as_of)) == (not exact, not exact)
    if frontier is not None:
        assert answer.features == seen.as_of(min(boundary, frontier) + DELAY_MS, key="a")


def test_a_map_too_large_for_one_tile_is_unknown_as_in_the_engines() -> None:
    long = "w" * 60_000
    seen = harness(VIEW).replay(VIEW.name, [{"key": "a", "t": 0, "word": long}, {"key": "a", "t": 1, "word": long + "v"}])
    answer = seen.as_of(TILE_MS + DELAY_MS, key="a")
    assert (answer["topk_word_1m_0"], answer["lastn_word_1m_0"]) == (None, None)
    assert set(tiles_of(VIEW, seen.views[VIEW.name].counted.events).column("tally_word").to_pylist()) == {"!"}
