"""Plan → Spark SQL: the tiles of a view from a relation of its source's events. Only text; jobs/backfill runs it.

The session must have ANSI off (BIGINT sums wrap, as in Flink), time zone UTC and case-sensitive names. Names of our own begin with `#`,
which no field can.
"""

from __future__ import annotations

from features.compiler.map_partial_sql import bounded, number, sub_key, sub_key_source
from features.plan import Column, Partial, PartialKind, ViewPlan

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
    if any(partial.kind.is_map for partial in view.partials):
        return _with_maps(view, as_known, in_pieces)
    keys = [_quoted(key.name) for key in view.keys]
    outputs = [*keys, "TIMESTAMP_MILLIS(`#tile`) AS `tile_start`", *(line for partial in view.partials for line in _aggregates(partial))]
    return f"SELECT\n  {_joined(outputs)}\nFROM (\n{_indented(_events(view, as_known, in_pieces))}\n)\nGROUP BY {', '.join(_place(view, in_pieces))}"


def _place(view: ViewPlan, in_pieces: bool) -> list[str]:
    """What tells one tile from another."""
    return [*([_quoted(PIECE)] if in_pieces else []), *(_quoted(key.name) for key in view.keys), "`#tile`"]


def _with_maps(view: ViewPlan, as_known: bool, in_pieces: bool) -> str:
    """As `tile_query`, where some partials are maps: those are grouped by sub-key first, entries in the order of their sub-keys."""
    keys = [_quoted(key.name) for key in view.keys]
    place = _place(view, in_pieces)
    plain = [line for partial in view.partials if not partial.kind.is_map for line in _aggregates(partial)]
    steps = {"#events": _events(view, as_known, in_pieces)}
    steps["#base"] = f"SELECT\n  {_joined([*place, *plain])}\nFROM `#events`\nGROUP BY {', '.join(place)}"
    for partial in view.partials:
        if partial.kind.is_map:
            steps[partial.name] = _map(partial, place)
    common = ",\n".join(f"{_quoted(name)} AS (\n{_indented(step)}\n)" for name, step in steps.items())
    joins = "".join(f"\nLEFT JOIN {_quoted(name)} USING ({', '.join(place)})" for name in steps if name not in ("#events", "#base"))
    columns = [_quoted(column.name) for column in view.tile_columns]
    outputs = [*keys, "TIMESTAMP_MILLIS(`#tile`) AS `tile_start`", *columns]
    return f"WITH {common}\nSELECT\n  {_joined(outputs)}\nFROM `#base`{joins}"


def _map(partial: Partial, place: list[str]) -> str:
    source = sub_key_source(partial, "spark")
    if partial.where is not None:
        source = f"CASE WHEN {partial.where.sql('spark')} THEN {source} END"
    events = f"SELECT\n  {_joined([*place, f'{source} AS `#in`'])}\nFROM `#events`"
    if partial.kind is PartialKind.LATEST:
        return _latest(partial, source, place)
    grouped = [f"{sub_key(partial, '`#in`', 'spark')} AS `#sub_key`", f"{number(partial, '`#in`', 'spark')} AS `#number`"]
    by_key = f"SELECT\n  {_joined([*place, *grouped])}\nFROM (\n{_indented(events)}\n)\nWHERE `#in` IS NOT NULL\nGROUP BY {', '.join([*place, '`#sub_key`'])}"
    return _texts(partial, by_key, place)


def _latest(partial: Partial, source: str, place: list[str]) -> str:
    """The last values of each tile, by event time, then value."""
    events = f"SELECT\n  {_joined([*place, '`#ms`', f'{source} AS `#in`'])}\nFROM `#events`"
    rank = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(place)} ORDER BY `#ms` DESC, `#in` DESC) AS `#rank`"
    ranked = f"SELECT *, {rank}\nFROM (\n{_indented(events)}\n)\nWHERE `#in` IS NOT NULL"
    own = [f"{sub_key(partial, '`#in`', 'spark')} AS `#sub_key`", "`#ms` AS `#number`"]
    rows = f"SELECT\n  {_joined([*place, *own])}\nFROM (\n{_indented(ranked)}\n)\nWHERE `#rank` <= {partial.parameter}"
    return _texts(partial, rows, place)


def _texts(partial: Partial, rows: str, place: list[str]) -> str:
    """All entries of each tile as one text."""
    entries = "ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`)))"
    characters = "SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2)"
    text = f"ARRAY_JOIN(TRANSFORM({entries}, e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',')"
    return f"SELECT\n  {_joined([*place, f'{bounded(text, characters)} AS {_quoted(partial.name)}'])}\nFROM (\n{_indented(rows)}\n)\nGROUP BY {', '.join(place)}"


def late_tiles_query(view: ViewPlan) -> str:
    """The key columns and `tile_start` of every tile that an event came too late for; reads what `tile_query` does."""
    keys = [_quoted(key.name) for key in view.keys]
    late = f"{_quoted(WATERMARK)} >= `#tile` + {view.tile_ms - 1}L"
    outputs = _joined([*keys, "TIMESTAMP_MILLIS(`#tile`) AS `tile_start`"])
    return f"SELECT DISTINCT\n  {outputs}\nFROM (\n{_indented(_timed(view, True, []))}\n)\nWHERE {late}"


def _events(view: ViewPlan, as_known: bool, in_pieces: bool) -> str:
    """The events that count, each once, with `#ms`, `#tile` and the pivots of moments."""
    pivots = _pivots(view, in_pieces)
    conditions = [f"{_quoted(key.name)} IS NOT NULL" for key in view.keys if key.name in view.source.nullable]
    if view.where is not None:
        conditions.append(f"({view.where.sql('spark')})")
    query = _once(view, as_known, in_pieces, conditions)
    return query if not pivots else f"SELECT\n  {_joined(['*', *pivots])}\nFROM (\n{_indented(query)}\n)"


def _once(view: ViewPlan, as_known: bool, in_pieces: bool, conditions: list[str]) -> str:
    """Of repeats (same id, same event time) the smallest copy, field by field in schema order, nulls first."""
    source = view.source
    if source.id is None or source.dedupe_ms is None:
        return _timed(view, as_known, conditions)
    same = ", ".join(_quoted(name) for name in (*([PIECE] if in_pieces else []), source.id, source.event_time))
    order = ", ".join(f"{_quoted(name)} ASC NULLS FIRST" for name in source.columns if name not in (source.id, source.event_time))
    copy = f"ROW_NUMBER() OVER (PARTITION BY {same} ORDER BY {order or same}) AS `#copy`"
    return f"SELECT *\nFROM (\n  SELECT *, {copy}\n  FROM (\n{_indented(_timed(view, as_known, []), 2)}\n  )\n)\nWHERE {_all(['`#copy` = 1', *conditions])}"


def _timed(view: ViewPlan, as_known: bool, conditions: list[str]) -> str:
    """The events with their tile, without those that came too late for it."""
    milliseconds = f"UNIX_MILLIS({_quoted(view.source.event_time)})"
    tile = f"{milliseconds} - PMOD({milliseconds}, {view.tile_ms}L)"
    query = f"SELECT *, {milliseconds} AS `#ms`, {tile} AS `#tile`\nFROM {_quoted(view.source.name)}"
    if not as_known:
        watermark = _quoted(WATERMARK)
        conditions = [f"({watermark} IS NULL OR {tile} + {view.tile_ms - 1}L > {watermark})", *conditions]
    return f"{query}\nWHERE {_all(conditions)}" if conditions else query


def _pivots(view: ViewPlan, in_pieces: bool) -> list[str]:
    """A value of its own key and tile for each moments: sums of what exceeds it lose nothing to a large mean."""
    partition = ", ".join(_place(view, in_pieces))
    return [
        f"MIN({_input(partial)}) OVER (PARTITION BY {partition}) AS {_quoted(f'#{partial.name}')}"
        for partial in view.partials
        if partial.kind is PartialKind.MOMENTS
    ]


def _aggregates(partial: Partial) -> list[str]:
    """The partial's columns in storage order."""
    match partial.kind:
        case PartialKind.COUNT:
            values = [f"COUNT({_input(partial)})"]
        case PartialKind.SUM | PartialKind.MIN | PartialKind.MAX:
            values = [f"{partial.kind.upper()}({_input(partial)})"]
        case PartialKind.FIRST | PartialKind.LAST:
            values = _extreme(partial)
        case PartialKind.MOMENTS:
            pivot = _quoted(f"#{partial.name}")
            above = f"({_input(partial)} - {pivot})"
            values = [f"COUNT({_input(partial)})", f"MIN({pivot})", f"SUM({above})", f"SUM({above} * {above})"]
        case _:
            raise AssertionError(f"{partial.kind} is grouped by sub-key")
    return [_named(value, column) for value, column in zip(values, partial.columns, strict=True)]


def _extreme(partial: Partial) -> list[str]:
    """The first or last value: the extreme of (event time, tie, value); structs compare part by part, nulls smallest."""
    assert partial.input is not None
    tie = "" if partial.tie is None else f", 'tie', {partial.tie.sql('spark')}"
    value = partial.input.sql("spark")
    entry = f"NAMED_STRUCT('at', `#ms`{tie}, 'value', {value})"
    conditions = [f"({value}) IS NOT NULL"] + ([] if partial.where is None else [f"({partial.where.sql('spark')})"])
    extreme = "MIN" if partial.kind is PartialKind.FIRST else "MAX"
    found = f"{extreme}(CASE WHEN {' AND '.join(conditions)} THEN {entry} END)"
    return [f"{found}.`{part}`" for part in ("at", *(("tie",) if tie else ()), "value")]


def _input(partial: Partial) -> str:
    """The aggregated value, null for events that do not contribute."""
    value = "1" if partial.input is None else partial.input.sql("spark")
    if partial.kind in (PartialKind.SUM, PartialKind.MOMENTS) and partial.input is not None and partial.input.type is not partial.type:
        value = f"CAST({value} AS {partial.type.spark})"  # before integers are added, which would wrap
    return value if partial.where is None else f"CASE WHEN {partial.where.sql('spark')} THEN {value} END"


def _named(value: str, column: Column) -> str:
    return f"CAST({value} AS {column.type.spark}) AS {_quoted(column.name)}"


def _quoted(name: str) -> str:
    return f"`{name}`"


def _all(conditions: list[str]) -> str:
    return "\n  AND ".join(conditions)


def _joined(lines: list[str]) -> str:
    return ",\n  ".join(lines)


def _indented(text: str, levels: int = 1) -> str:
    return "\n".join("  " * levels + line for line in text.splitlines())
