"""The first and the last value by event time, then by tie, then by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from features.columns.column import Column
from features.columns.tile_table import TileIndex, Tiles, WindowTiles
from features.columns.values import Bools, Int64s, Values, present
from features.expressions.expression import Expression
from features.partials.opcodes import MergeCode
from features.partials.partial import Partial
from features.sql_text import nested, quote, select
from schemas.types import DataType


class _Edge(Partial):
    """Event time in ms, the tie's value if there is one, the value. Nulls of the tie are smallest."""

    last: ClassVar[bool]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Time, tie, value."""
        tie = () if self.tie is None else (Column(name=f"{self.name}__tie", type=self.tie.type),)
        return (Column(name=f"{self.name}__at", type=DataType.INT64), *tie, Column(name=self.name, type=self.type))

    def flink_relation(self, value: str, tie: str | None, *, place: Sequence[str], events: str) -> str | None:
        """The event of rank 1 of each tile."""
        direction = "DESC" if self.last else "ASC"
        order = ", ".join(f"{column} {direction}" for column in ("`_time_ms`", tie, value) if column is not None)
        rank = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(place)} ORDER BY {order}) AS `_rank`"
        ranked = select(["*", rank], events, f"WHERE {value} IS NOT NULL")
        sources = [("`_time_ms`", f"{self.name}__at"), *([] if tie is None else [(tie, f"{self.name}__tie")]), (value, self.name)]
        return select([*place, *(f"{column} AS {quote(name)}" for column, name in sources)], nested(ranked), "WHERE `_rank` = 1")

    def spark_aggregates(self, value: str, pivot: str) -> Mapping[str, str]:
        """The extreme of structs, which compare part by part."""
        tie = "" if self.tie is None else f", 'tie', {self.tie.sql('spark')}"
        own = self.given.sql("spark")
        entry = f"NAMED_STRUCT('at', `#ms`{tie}, 'value', {own})"
        conditions = [f"({own}) IS NOT NULL"] + ([] if self.where is None else [f"({self.where.sql('spark')})"])
        found = f"{'MAX' if self.last else 'MIN'}(CASE WHEN {' AND '.join(conditions)} THEN {entry} END)"
        parts = ("at", *(("tie",) if tie else ()), "value")
        return {column.name: f"{found}.`{part}`" for column, part in zip(self.columns, parts, strict=True)}

    def prepare(self, values: pa.Array[Any], time_ms: Int64s, tie: pa.Array[Any] | None) -> Mapping[str, pa.Array[Any]]:
        """The event's time, tie and value."""
        return {f"{self.name}__at": pa.array(time_ms), self.name: values} | ({} if tie is None else {f"{self.name}__tie": tie})

    def merge(self, tiles: Tiles, index: TileIndex, window: WindowTiles, *, condensed: bool) -> Values:
        """The value of the tile that has each row's first or last."""
        return _taken(tiles.columns[self.name], *self._edge(tiles, index, window))

    def condense(self, tiles: Tiles, index: TileIndex, window: WindowTiles) -> Mapping[str, Values]:
        """As `merge`, with time and tie."""
        best, found = self._edge(tiles, index, window)
        return {column.name: _taken(tiles.columns[column.name], best, found) for column in self.columns}

    def stored(self, column: Column) -> Expression | None:
        """The tie or the value."""
        return self.tie if column.name == f"{self.name}__tie" else self.input

    def _edge(self, tiles: Tiles, index: TileIndex, window: WindowTiles) -> tuple[Int64s, Bools]:
        """The tile that has each row's first or last, and whether there is one.

        First: the smallest (time, tie, value). Last: the largest. Tiles in time order decide by position unless two share a start.
        """
        at = tiles.columns[f"{self.name}__at"]
        rank, by_rank = (np.arange(len(window.tile)), window.tile) if index.distinct else self._ranks(tiles, window)
        none = -1 if self.last else len(by_rank)
        if at.valid is not None:
            rank = np.where(at.valid[window.tile], rank, none)
        best = window.reduce(np.maximum if self.last else np.minimum, rank, none)
        found = best != none
        best = np.where(found, best, 0)
        if len(by_rank):
            best = by_rank[best]
        return best, found

    def _ranks(self, tiles: Tiles, window: WindowTiles) -> tuple[Int64s, Int64s]:
        """The rank of each gathered tile by (time, tie with null smallest, value), and the tile of each rank."""
        keys = [tiles.columns[self.name].numbers]
        if self.tie is not None:
            tie = tiles.columns[f"{self.name}__tie"]
            keys += [tie.filled(0), np.ones(len(tie.numbers), np.bool_) if tie.valid is None else tie.valid]
        by_rank = np.lexsort((*keys, tiles.columns[f"{self.name}__at"].numbers))
        rank = np.empty_like(by_rank)
        rank[by_rank] = np.arange(len(by_rank))
        return rank[window.tile], by_rank


class FirstPartial(_Edge):
    """The smallest (time, tie, value)."""

    kind = "first"
    last = False
    compiled = MergeCode.FIRST


class LastPartial(_Edge):
    """The largest (time, tie, value)."""

    kind = "last"
    last = True
    compiled = MergeCode.LAST


def _taken(values: Values, tile: Int64s, found: Bools) -> Values:
    """The values of some tiles, null where none was found."""
    if not len(values.numbers):
        return present(np.zeros(len(tile), dtype=values.numbers.dtype), found, values.words)
    return present(values.numbers[tile], found if values.valid is None else found & values.valid[tile], values.words)
