"""Plan → Flink SQL: the tiles of a view, from the events that `features.compiler.flink` lets count. Nothing of Flink is imported."""

from __future__ import annotations

from features.compiler import flink
from features.compiler.flink_text import indent, quote, select, tumble
from features.compiler.map_partial_sql import bounded, number, sub_key, sub_key_source
from features.expressions.expression import Expression
from features.plan import Column, Partial, PartialKind, ViewPlan

_WINDOW = ("window_start", "window_end")


def tile_query(view: ViewPlan) -> str:
    """The relation `tiles` of a view, from `events`: partial aggregates of each entity and tile; all state is dropped with the tile."""
    inputs = _Inputs(view)
    keys = [quote(key.name) for key in view.keys]
    grouped = ", ".join([*keys, "`window_start`", "`window_end`", "`window_time`"])
    windowed = tumble("input", "_time", view.tile_ms)
    base = [column for partial in view.partials for column in _base(partial, inputs)]
    steps = {
        "input": inputs.query(),
        "base": select([*keys, "`window_start`", "`window_end`", "`window_time`", *base], windowed, f"GROUP BY {grouped}"),
    }
    moments = [partial for partial in view.partials if partial.kind is PartialKind.MOMENTS]
    if moments:
        sums = [column for partial in moments for column in _around_pivot(partial, inputs)]
        side = [f"`i`.{name} AS {name}" for name in (*keys, "`window_start`", "`window_end`")]
        rows = f"(SELECT * FROM {windowed}) AS `i`\nINNER JOIN `base` AS `b` ON {_same_tile('i', 'b', keys)}"
        steps["moments"] = select(
            [*side, *sums], rows, "GROUP BY " + ", ".join(f"`i`.{name}" for name in (*keys, "`window_start`", "`window_end`"))
        )
    for partial in view.partials:
        if partial.kind in (PartialKind.FIRST, PartialKind.LAST):
            steps[partial.name] = _extreme_in_time(partial, inputs, keys, windowed)
        elif partial.kind.is_map:
            steps[partial.name] = _map(partial, inputs, keys, windowed)
    joined = "".join(f"\nLEFT JOIN {quote(name)} ON {_same_tile('base', name, keys)}" for name in steps if name not in ("input", "base"))
    columns = [
        f"{quote(_home(partial, column))}.{quote(column.name)} AS {quote(column.name)}"
        for partial in view.partials
        for column in partial.columns
    ]
    own = [f"`base`.{key} AS {key}" for key in keys]
    fixed = ["CAST(`base`.`window_start` AS TIMESTAMP_LTZ(3)) AS `tile_start`", "CAST(0 AS BIGINT) AS `revision`"]
    result = select([*own, *fixed, *columns, "`base`.`window_time` AS `_closed`"], f"`base`{joined}")
    return "WITH " + ",\n".join(f"{quote(name)} AS (\n{indent(step)}\n)" for name, step in steps.items()) + "\n" + result


def render(view: ViewPlan) -> str:
    """What one view means in Flink SQL, relation by relation, for people to read."""
    parts = {
        flink.events(view.source, view.tile_ms): flink.events_query(view.source, view.tile_ms),
        flink.tiles(view): tile_query(view),
        f"closings of {view.name}": flink.closing_query(view),
    }
    return "\n\n".join(f"-- {name}\n{query};" for name, query in parts.items()) + "\n"


class _Inputs:
    """What a view's partials aggregate: each distinct pair of input and condition evaluated once, as a column."""

    def __init__(self, view: ViewPlan) -> None:
        self._view = view
        self._columns: dict[str, str] = {}  # expression → column
        for partial in view.partials:
            self.of(partial)
            if partial.tie is not None:
                self._name(partial.tie.sql("flink"))

    def of(self, partial: Partial) -> str | None:
        """The column that is null where an event does not contribute; None when every event does."""
        if partial.input is None:
            return None if partial.where is None else self._name(f"CASE WHEN {partial.where.sql('flink')} THEN 1 END")
        if partial.kind.is_map:
            return self._name(_where(sub_key_source(partial, "flink"), partial.where))
        return self._name(_where(partial.input.sql("flink"), partial.where))

    def tie(self, partial: Partial) -> str | None:
        """The column that breaks ties."""
        return None if partial.tie is None else self._name(partial.tie.sql("flink"))

    def query(self) -> str:
        """The events of the view, with these columns."""
        view = self._view
        keys = [quote(key.name) for key in view.keys]
        conditions = [f"{key} IS NOT NULL" for key in keys] + ([] if view.where is None else [f"({view.where.sql('flink')})"])
        columns = [f"{expression} AS {column}" for expression, column in self._columns.items()]
        return select(
            [*keys, "`_time_ms`", "`_time`", *columns],
            quote(flink.events(view.source, view.tile_ms)),
            "WHERE " + "\n  AND ".join(conditions),
        )

    def _name(self, expression: str) -> str:
        return self._columns.setdefault(expression, quote(f"_in{len(self._columns) + 1}"))


def _base(partial: Partial, inputs: _Inputs) -> list[str]:
    """The aggregates that need the events only once."""
    column = inputs.of(partial)
    name = quote(partial.name)
    match partial.kind:
        case PartialKind.COUNT:
            return [f"COUNT({column or '*'}) AS {name}"]
        case PartialKind.SUM | PartialKind.MIN | PartialKind.MAX:
            return [f"{partial.kind.upper()}({column}) AS {name}"]
        case PartialKind.MOMENTS:
            # The smallest value is a pivot near the data, and the same however the events arrive.
            return [
                f"COUNT({column}) AS {quote(f'{partial.name}__n')}",
                f"MIN({column}) AS {quote(f'{partial.name}__pivot')}",
            ]
        case _:
            return []


def _around_pivot(partial: Partial, inputs: _Inputs) -> list[str]:
    distance = f"(`i`.{inputs.of(partial)} - `b`.{quote(f'{partial.name}__pivot')})"
    return [f"SUM({distance}) AS {quote(f'{partial.name}__s1')}", f"SUM({distance} * {distance}) AS {quote(f'{partial.name}__s2')}"]


def _extreme_in_time(partial: Partial, inputs: _Inputs, keys: list[str], windowed: str) -> str:
    """The first or last event of each tile: by event time, tie, value; nulls of the tie are smallest in both engines."""
    value, tie = inputs.of(partial), inputs.tie(partial)
    direction = "ASC" if partial.kind is PartialKind.FIRST else "DESC"
    order = ", ".join(f"{column} {direction}" for column in ("`_time_ms`", tie, value) if column is not None)
    place = [*keys, "`window_start`", "`window_end`"]
    rank = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(place)} ORDER BY {order}) AS `_rank`"
    ranked = select(["*", rank], windowed, f"WHERE {value} IS NOT NULL")
    sources = [("`_time_ms`", f"{partial.name}__at"), *([] if tie is None else [(tie, f"{partial.name}__tie")]), (value, partial.name)]
    return select([*place, *(f"{column} AS {quote(name)}" for column, name in sources)], f"(\n{indent(ranked)}\n)", "WHERE `_rank` = 1")


def _map(partial: Partial, inputs: _Inputs, keys: list[str], windowed: str) -> str:
    """The entries of each tile: a number for each sub-key, then all of them as one text, in any order."""
    source = inputs.of(partial)
    assert source is not None
    place = [*keys, "`window_start`", "`window_end`"]
    if partial.kind is PartialKind.LATEST:
        return _latest(partial, source, place, windowed)
    grouped = select(
        [*place, f"{sub_key(partial, source, 'flink')} AS `_sub_key`", f"{number(partial, source, 'flink')} AS `_number`"],
        windowed,
        f"WHERE {source} IS NOT NULL",
        f"GROUP BY {', '.join([*place, sub_key(partial, source, 'flink')])}",
    )
    rows = select([*place, "CAST(`_number` AS STRING) || ' ' || `_sub_key` AS `_entry`"], f"(\n{indent(grouped)}\n)")
    return _listed(partial, rows, place)


def _latest(partial: Partial, source: str, place: list[str], windowed: str) -> str:
    """The last values of each tile, by event time, then value."""
    rank = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(place)} ORDER BY `_time_ms` DESC, {source} DESC) AS `_rank`"
    ranked = select(["*", rank], windowed, f"WHERE {source} IS NOT NULL")
    entry = f"CAST(`_time_ms` AS STRING) || ' ' || {sub_key(partial, source, 'flink')}"
    rows = select([*place, f"{entry} AS `_entry`"], f"(\n{indent(ranked)}\n)", f"WHERE `_rank` <= {partial.parameter}")
    return _listed(partial, rows, place)


def _listed(partial: Partial, rows: str, place: list[str]) -> str:
    """All entries of each tile as one text."""
    entries = bounded("LISTAGG(`_entry`, ',')", "SUM(CHAR_LENGTH(`_entry`) + 1)")
    return select([*place, f"{entries} AS {quote(partial.name)}"], f"(\n{indent(rows)}\n)", f"GROUP BY {', '.join(place)}")


def _home(partial: Partial, column: Column) -> str:
    """The step of `tile_query` that computes a column."""
    match partial.kind:
        case PartialKind.FIRST | PartialKind.LAST:
            return partial.name
        case kind if kind.is_map:
            return partial.name
        case PartialKind.MOMENTS:
            return "moments" if column.name.endswith(("__s1", "__s2")) else "base"
        case _:
            return "base"


def _where(value: str, condition: Expression | None) -> str:
    return value if condition is None else f"CASE WHEN {condition.sql('flink')} THEN {value} END"


def _same_tile(left: str, right: str, keys: list[str]) -> str:
    return " AND ".join(f"{quote(left)}.{name} = {quote(right)}.{name}" for name in (*keys, *map(quote, _WINDOW)))
