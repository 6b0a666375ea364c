"""Plan → Flink SQL: the tiles of a view, from the events that `features.compiler.flink` lets count. Nothing of Flink is imported."""

from __future__ import annotations

from collections.abc import Mapping

from features.columns.column import Column
from features.compiler import flink
from features.compiler.flink_text import tumble
from features.partials.partial import Partial
from features.plan import ViewPlan
from features.sql_text import nested, quote, select

_WINDOW = ("window_start", "window_end")
_PIVOTED = "moments"
"""The step whose aggregates are about pivots of the base."""


def tile_query(view: ViewPlan) -> str:
    """The relation `tiles` of a view, from `events`: partial aggregates of each entity and tile; all state is dropped with the tile."""
    inputs = _Inputs(view)
    keys = [quote(key.name) for key in view.keys]
    grouped = ", ".join([*keys, "`window_start`", "`window_end`", "`window_time`"])
    windowed = tumble("input", "_time", view.tile_ms)
    base = [line for partial in view.partials for line in _base(partial, inputs)]
    steps = {
        "input": inputs.query(),
        "base": select([*keys, "`window_start`", "`window_end`", "`window_time`", *base], windowed, f"GROUP BY {grouped}"),
    }
    sums = [line for partial in view.partials for line in _around_pivot(partial, inputs)]
    if sums:
        side = [f"`i`.{name} AS {name}" for name in (*keys, "`window_start`", "`window_end`")]
        rows = f"(SELECT * FROM {windowed}) AS `i`\nINNER JOIN `base` AS `b` ON {_same_tile('i', 'b', keys)}"
        steps[_PIVOTED] = select(
            [*side, *sums], rows, "GROUP BY " + ", ".join(f"`i`.{name}" for name in (*keys, "`window_start`", "`window_end`"))
        )
    place = [*keys, "`window_start`", "`window_end`"]
    for partial in view.partials:
        step = partial.flink_relation(inputs.of(partial) or "*", inputs.tie(partial), place=place, events=windowed)
        if step is not None:
            steps[partial.name] = step
    joined = "".join(f"\nLEFT JOIN {quote(name)} ON {_same_tile('base', name, keys)}" for name in steps if name not in ("input", "base"))
    columns = [
        f"{quote(_home(partial, column, steps))}.{quote(column.name)} AS {quote(column.name)}"
        for partial in view.partials
        for column in partial.columns
    ]
    own = [f"`base`.{key} AS {key}" for key in keys]
    fixed = ["CAST(`base`.`window_start` AS TIMESTAMP_LTZ(3)) AS `tile_start`", "CAST(0 AS BIGINT) AS `revision`"]
    result = select([*own, *fixed, *columns, "`base`.`window_time` AS `_closed`"], f"`base`{joined}")
    return "WITH " + ",\n".join(f"{quote(name)} AS {nested(step)}" for name, step in steps.items()) + "\n" + result


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
        return None if partial.input is None and partial.where is None else self._name(partial.event_sql("flink"))

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
    value = inputs.of(partial) or "*"
    return [f"{aggregate} AS {quote(name)}" for name, aggregate in partial.aggregates(value, value).items()]


def _around_pivot(partial: Partial, inputs: _Inputs) -> list[str]:
    """The aggregates about its pivot."""
    if partial.pivot_column is None:
        return []
    aggregates = partial.pivot_aggregates(f"`i`.{inputs.of(partial)}", f"`b`.{quote(partial.pivot_column)}")
    return [f"{aggregate} AS {quote(name)}" for name, aggregate in aggregates.items()]


def _home(partial: Partial, column: Column, steps: Mapping[str, str]) -> str:
    """The step of `tile_query` that computes a column."""
    if partial.name in steps:
        return partial.name
    return "base" if column.name in partial.aggregates("", "") else _PIVOTED


def _same_tile(left: str, right: str, keys: list[str]) -> str:
    return " AND ".join(f"{quote(left)}.{name} = {quote(right)}.{name}" for name in (*keys, *map(quote, _WINDOW)))
