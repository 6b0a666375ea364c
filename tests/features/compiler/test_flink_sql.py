"""The Flink SQL of `jobs/features` as text: what it says, without a JVM. That Flink agrees is told by tests/e2e."""

from __future__ import annotations

import dataclasses
import math
import re
import sqlite3
from pathlib import Path

import pytest

from features.catalog import load
from features.compiler import flink, flink_gate, flink_text, flink_tiles
from features.plan import ViewPlan
from features.sql_text import quote
from schemas.schema import SHIPPED, SchemaSet

EVERY = Path(__file__).parents[1] / "every"
PLANS = (load(None, None), load(EVERY / "definitions", EVERY / "schemas"))
SOURCES = {name: source for plan in PLANS for name, source in plan.sources.items()}
VIEWS = {name: view for plan in PLANS for name, view in plan.views.items()}
DEPARTURES, AIRCRAFT = SOURCES["departures"], VIEWS["aircraft_arrivals"]
MINUTE = 60_000
READING = flink_gate.reading(DEPARTURES, SchemaSet.load(SHIPPED).current(DEPARTURES.schema))


@pytest.mark.parametrize(
    ("milliseconds", "literal"),
    [
        (0, "INTERVAL '0' HOUR"),
        (1, "INTERVAL '0 00:00:00.001' DAY(3) TO SECOND(3)"),
        (1_000, "INTERVAL '1' SECOND"),
        (90_000, "INTERVAL '90' SECOND"),
        (300_000, "INTERVAL '5' MINUTE"),
        (7_200_000, "INTERVAL '2' HOUR"),
        (30 * 86_400_000, "INTERVAL '30 00:00:00.000' DAY(3) TO SECOND(3)"),
        (360_005_250, "INTERVAL '4 04:00:05.250' DAY(3) TO SECOND(3)"),
    ],
)
def test_an_interval_is_exact_and_within_the_precision_that_flink_takes(milliseconds: int, literal: str) -> None:
    assert flink_text.interval(milliseconds) == literal


def test_names_and_values_cannot_break_out_of_their_quotes() -> None:
    assert quote("a`b") == "`a``b`"
    assert flink_text.with_options({"topic": "it's"}) == "  'topic' = 'it''s'"


@pytest.mark.parametrize("time_ms", [-MINUTE - 1, -MINUTE, -1, 0, 1, MINUTE - 1, MINUTE, 1_700_000_000_123])
@pytest.mark.parametrize("behind_ms", [-2, -1, 0, 1, None])
def test_an_event_is_late_once_the_last_millisecond_of_its_tile_has_passed(time_ms: int, behind_ms: int | None) -> None:
    """The arithmetic itself, before 1970 too, in another engine whose MOD has the sign of its dividend."""
    end = (time_ms // MINUTE + 1) * MINUTE
    watermark = None if behind_ms is None else end - 1 + behind_ms
    engine = sqlite3.connect(":memory:")
    engine.create_function("MOD", 2, lambda left, right: int(math.fmod(left, right)))
    (late,) = engine.execute(
        f"SELECT {flink.is_late(MINUTE)} FROM (SELECT ? AS `_time_ms`, ? AS `_watermark_ms`)", (time_ms, watermark)
    ).fetchone()
    engine.close()
    assert bool(late) == (watermark is not None and not end - 1 > watermark)


def test_repeats_are_looked_for_only_where_the_source_says_so() -> None:
    counted_once = flink.events_query(DEPARTURES, MINUTE)
    assert "PARTITION BY `window_start`, `window_end`, `flight_id`, `_time_ms`" in counted_once
    assert "ROW_NUMBER" not in flink.events_query(dataclasses.replace(DEPARTURES, dedupe_ms=None), MINUTE)


def test_of_repeats_the_smallest_by_all_fields_in_schema_order_stays() -> None:
    order = re.search(r"ORDER BY (.*)\n", flink.events_query(DEPARTURES, MINUTE))
    assert order is not None
    others = [name for name in DEPARTURES.columns if name not in ("flight_id", "event_time")]
    assert order[1] == ", ".join(f"`{name}` ASC" for name in others)


@pytest.mark.parametrize("view", VIEWS.values(), ids=lambda view: view.name)
def test_every_aggregate_join_and_rank_is_of_a_window_so_that_its_state_ends(view: ViewPlan) -> None:
    query = flink_tiles.tile_query(view)
    for kept in (
        *re.findall(r"GROUP BY (.*)", query),
        *re.findall(r"PARTITION BY (.*?) ORDER", query),
        *re.findall(r"JOIN .* ON (.*)", query),
    ):
        assert "window_start" in kept
        assert "window_end" in kept


@pytest.mark.parametrize("view", VIEWS.values(), ids=lambda view: view.name)
def test_a_tile_has_the_columns_of_its_topic_in_order(view: ViewPlan) -> None:
    result = flink_tiles.tile_query(view).rpartition("\nSELECT\n")[2].partition("\nFROM")[0]
    names = [line.rstrip(",").rpartition(" AS ")[2].strip("`") for line in result.splitlines()]
    assert names == list(flink.tile_relation_columns(view))
    sink = flink.tiles_table("t", view, options={})
    assert [line for line in re.findall(r"  `(\w+)` ", sink) if not line.startswith("_")] == [name for name in names if name != "_closed"]


def test_an_event_without_a_key_is_not_part_of_the_view() -> None:
    assert "WHERE `tailnum` IS NOT NULL" in flink_tiles.tile_query(AIRCRAFT)


def test_the_key_of_a_tile_joins_the_entity_s_values() -> None:
    assert "`carrier` || '|' || `origin` AS `_key`" in flink.tile_sink_query(VIEWS["carrier_origin_departures"])


def test_markers_reach_no_sink() -> None:
    views = PLANS[0].views_of("departures")
    assert "WHERE `_kind` = 2" in flink.dead_letter_query(DEPARTURES, READING, {})
    for query in (
        flink.late_query(DEPARTURES, READING, views, {}),
        flink.archive_query(DEPARTURES, {}),
        flink.events_query(DEPARTURES, MINUTE),
    ):
        assert "WHERE `_kind` = 0" in query


def test_a_late_event_names_the_views_that_do_not_count_it() -> None:
    query = flink.late_query(DEPARTURES, READING, PLANS[0].views_of("departures"), {})
    assert "THEN 'carrier_origin_departures' END" in query
    assert "THEN 'origin_departures' END" in query


def test_what_is_archived_is_not_written_again() -> None:
    archived = {1: 41, 0: 7}
    condition = "AND CASE `_partition` WHEN 0 THEN `_offset` > 7 WHEN 1 THEN `_offset` > 41 ELSE TRUE END"
    views = PLANS[0].views_of("departures")
    for query in (
        flink.late_query(DEPARTURES, READING, views, archived),
        flink.archive_query(DEPARTURES, archived),
        flink.dead_letter_query(DEPARTURES, READING, archived),
    ):
        assert condition in query


def test_no_tile_is_closed_again_that_was_closed_before() -> None:
    assert "- 1 > 299999" in flink.progress_query(DEPARTURES, MINUTE, after_ms=299_999)
    assert "WHERE `_stream_ms` IS NOT NULL" in flink.progress_query(DEPARTURES, MINUTE)


def sinks() -> dict[str, str]:
    """Every table that the job writes, by the function that makes it."""
    view, made = AIRCRAFT, {}
    for name, function in vars(flink).items():
        if name.endswith("_table"):
            given = {"closings_table": (), "tiles_table": (view,), "letters_table": (READING.letter,)}.get(name, (DEPARTURES,))
            made[name] = function("sink", *given, options={})
    return made


def test_no_sink_is_laid_in_folders_by_what_data_says() -> None:
    """Flink keeps a writer, of megabytes, for each folder: their number may not be that of an event's values."""
    tables = sinks()
    assert tables.keys() == {"archive_table", "closings_table", "letters_table", "tiles_table"}
    folders = {name: set(re.findall(r"`(\w+)`", "".join(re.findall(r"PARTITIONED BY \((.*)\)", table)))) for name, table in tables.items()}
    assert folders == {name: set(flink.FOLDERS) if name == "archive_table" else set() for name in tables}
    assert all(table.count("PARTITIONED BY") <= 1 for table in tables.values())
    for name, (_, expression) in flink.FOLDERS.items():
        assert "`" not in expression, "an expression of a column"
        assert f"  {expression} AS `{name}`" in flink.archive_query(DEPARTURES, {})
