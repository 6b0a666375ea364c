"""Plan → Spark SQL: the tiles of a view from a relation of its source's events. Only text; jobs/backfill runs it.

The session must have ANSI off (BIGINT sums wrap, as in Flink), time zone UTC and case-sensitive names. Names of our own begin with `#`,
which no field can.
"""

from __future__ import annotations

from collections.abc import Mapping

from features.columns.column import Column
from features.partials.partial import Partial
from features.plan import ViewPlan
from features.sql_text import nested, quote, select

WATERMARK = "_watermark_ms"
"""BIGINT: the watermark of its partition when the event arrived, as the archive keeps it; null where unknown, which counts as in time."""


PIECE = "#piece"
"""BIGINT: the piece of time that an event is in, which whole tiles fit into. All steps group by it, so what is partitioned by it is exchanged no more."""


def tile_query(view: ViewPlan, as_known: bool, *, in_pieces: bool = False) -> str:
    """The tiles of a view.

    It reads a relation named as the source: every field of its schema (integers BIGINT, timestamps TIMESTAMP), and `_watermark_ms` BIGINT.

    Args:
        view: Its plan.
        as_known: Count late events too; otherwise only those that were in time for their tile when they arrived (as served).
        in_pieces: The relation also has `PIECE`. The tiles are the same.

    Returns:
        A SELECT of the key columns, `tile_start` TIMESTAMP, and the view's tile columns.
    """
    place = _place(view, in_pieces)
    relations = {partial.name: partial.spark_relation(place=place, events="`#events`") for partial in view.partials}
    steps = {name: relation for name, relation in relations.items() if relation is not None}
    if steps:
        return _joined_steps(view, _events(view, as_known, in_pieces), place, steps)
    keys = [quote(key.name) for key in view.keys]
    outputs = [*keys, "TIMESTAMP_MILLIS(`#tile`) AS `tile_start`", *(line for partial in view.partials for line in _aggregates(partial))]
    return select(outputs, nested(_events(view, as_known, in_pieces)), f"GROUP BY {', '.join(place)}")


def _place(view: ViewPlan, in_pieces: bool) -> list[str]:
    """What tells one tile from another."""
    return [*([quote(PIECE)] if in_pieces else []), *(quote(key.name) for key in view.keys), "`#tile`"]


def _joined_steps(view: ViewPlan, events: str, place: list[str], relations: Mapping[str, str]) -> str:
    """As `tile_query`, where some partials need relations of their own: these are joined to the aggregates of the others."""
    plain = [line for partial in view.partials if partial.name not in relations for line in _aggregates(partial)]
    steps = {"#events": events, "#base": select([*place, *plain], "`#events`", f"GROUP BY {', '.join(place)}"), **relations}
    common = ",\n".join(f"{quote(name)} AS {nested(step)}" for name, step in steps.items())
    joins = "".join(f"\nLEFT JOIN {quote(name)} USING ({', '.join(place)})" for name in relations)
    keys, columns = [quote(key.name) for key in view.keys], [quote(column.name) for column in view.tile_columns]
    return f"WITH {common}\n" + select([*keys, "TIMESTAMP_MILLIS(`#tile`) AS `tile_start`", *columns], f"`#base`{joins}")


INTERVAL = "#interval"
"""BIGINT: where the interval of the view's largest level begins that a tile is in, ms since the epoch."""


def late_intervals_query(view: ViewPlan, from_ms: int | None, until_ms: int) -> str:
    """The key columns and `INTERVAL` of every interval of the largest level that has a tile which an event came too late for.

    Args:
        view: Its plan; the query reads what `tile_query` does.
        from_ms: Only tiles that start at this time or later.
        until_ms: Only tiles that start before.
    """
    keys = [quote(key.name) for key in view.keys]
    conditions = [f"{quote(WATERMARK)} >= `#tile` + {view.tile_ms - 1}L", f"`#tile` < {until_ms}L"]
    if from_ms is not None:
        conditions.append(f"`#tile` >= {from_ms}L")
    rows = select(
        [*keys, f"{_interval_of('`#tile`', view)} AS {quote(INTERVAL)}"], nested(_timed(view, True, [])), f"WHERE {_all(conditions)}"
    )
    return rows.replace("SELECT", "SELECT DISTINCT", 1)


def interval_sql(view: ViewPlan) -> str:
    """`INTERVAL` of a tile of `tile_query`."""
    return _interval_of("UNIX_MILLIS(`tile_start`)", view)


def _interval_of(start: str, view: ViewPlan) -> str:
    return f"{start} - PMOD({start}, {view.levels_ms[-1]}L)"


def _events(view: ViewPlan, as_known: bool, in_pieces: bool) -> str:
    """The events that count, each once, with `#ms`, `#tile` and the pivots of moments."""
    pivots = _pivots(view, in_pieces)
    conditions = [f"{quote(key.name)} IS NOT NULL" for key in view.keys if key.name in view.source.nullable]
    if view.where is not None:
        conditions.append(f"({view.where.sql('spark')})")
    query = _once(view, as_known, in_pieces, conditions)
    return query if not pivots else select(["*", *pivots], nested(query))


def _once(view: ViewPlan, as_known: bool, in_pieces: bool, conditions: list[str]) -> str:
    """Of repeats (same id, same event time) the smallest copy, field by field in schema order, nulls first."""
    source = view.source
    if source.id is None or source.dedupe_ms is None:
        return _timed(view, as_known, conditions)
    same = ", ".join(quote(name) for name in (*([PIECE] if in_pieces else []), source.id, source.event_time))
    order = ", ".join(f"{quote(name)} ASC NULLS FIRST" for name in source.columns if name not in (source.id, source.event_time))
    copy = f"ROW_NUMBER() OVER (PARTITION BY {same} ORDER BY {order or same}) AS `#copy`"
    numbered = f"SELECT *, {copy}\nFROM {nested(_timed(view, as_known, []))}"
    return f"SELECT *\nFROM {nested(numbered)}\nWHERE {_all(['`#copy` = 1', *conditions])}"


def _timed(view: ViewPlan, as_known: bool, conditions: list[str]) -> str:
    """The events with their tile, without those that came too late for it."""
    milliseconds = f"UNIX_MILLIS({quote(view.source.event_time)})"
    tile = f"{milliseconds} - PMOD({milliseconds}, {view.tile_ms}L)"
    query = f"SELECT *, {milliseconds} AS `#ms`, {tile} AS `#tile`\nFROM {quote(view.source.name)}"
    if not as_known:
        watermark = quote(WATERMARK)
        conditions = [f"({watermark} IS NULL OR {tile} + {view.tile_ms - 1}L > {watermark})", *conditions]
    return f"{query}\nWHERE {_all(conditions)}" if conditions else query


def _pivots(view: ViewPlan, in_pieces: bool) -> list[str]:
    """A value of its own key and tile for each partial that needs one: sums of what exceeds it lose nothing to a large mean."""
    partition = ", ".join(_place(view, in_pieces))
    return [
        f"MIN({partial.event_sql('spark')}) OVER (PARTITION BY {partition}) AS {_pivot(partial)}"
        for partial in view.partials
        if partial.pivot_column is not None
    ]


def _pivot(partial: Partial) -> str:
    return quote(f"#{partial.name}")


def _aggregates(partial: Partial) -> list[str]:
    """The partial's columns in storage order."""
    values = partial.spark_aggregates(partial.event_sql("spark"), _pivot(partial))
    return [_named(values[column.name], column) for column in partial.columns]


def _named(value: str, column: Column) -> str:
    return f"CAST({value} AS {column.type.spark}) AS {quote(column.name)}"


def _all(conditions: list[str]) -> str:
    return "\n  AND ".join(conditions)
