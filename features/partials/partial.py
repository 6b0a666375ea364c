"""A partial: what a tile keeps of its events for an aggregation, as a value that merges with itself.

events ─(SQL of an engine, or `prepare`: one event, one tile)─▶ columns of a tile ─`merge` over a window─▶ merged ─a `Finish`─▶ value of a feature
                                                                                  └`condense`─▶ columns of one tile, all of them merged

A kind of partial is one class in this room, or beside the only aggregation that needs it. After Chronon's `BaseAggregator`.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import pyarrow as pa

from features.columns.column import Column
from features.columns.tile_table import TileIndex, Tiles, WindowTiles
from features.columns.values import Bools, Int64s, Values
from features.expressions.expression import Expression
from features.partials.finish import Finished
from features.partials.opcodes import MergeCode
from features.sql_text import Dialect
from schemas.types import DataType


@dataclass(frozen=True, kw_only=True)
class Partial(ABC):
    """A mergeable part of a tile.

    Attributes:
        name: Stable, derived from the content, e.g. `sum_dep_delay`; the stem of its columns.
        input: The aggregated expression; `None` only for the count of events. Null inputs are skipped.
        where: Only events for which this is TRUE contribute.
        tie: Breaks equal event times ahead of the value itself, where a kind looks at them.
        parameter: What the content depends on besides, e.g. how many values are kept.
        kind: The word of its kind, in names, plans and fingerprints.
        needs_input: Whether it is of a value; otherwise it can also be of events.
        compiled: `merge` in compiled code, if that can; a class with `columns`, a `merge` or a `finish` of its own says it anew.
        pivot_column: Of its columns the one that the others are summed about, and that engines have to find first.
    """

    name: str
    input: Expression | None
    where: Expression | None = None
    tie: Expression | None = None
    parameter: int | None = None

    kind: ClassVar[str]
    needs_input: ClassVar[bool] = True
    compiled: ClassVar[MergeCode | None] = None

    def __init_subclass__(cls) -> None:
        """What compiled code does for a class is not what it does for one that merges or finishes in another way."""
        super().__init_subclass__()
        if "compiled" not in vars(cls) and {"columns", "merge", "finish"} & vars(cls).keys():
            cls.compiled = None

    @classmethod
    def of(
        cls, value: Expression | None, *, where: Expression | None = None, tie: Expression | None = None, parameter: int | None = None
    ) -> Self:
        """A partial under the name that its content gives it, so that adding a feature never renames another's.

        The name is kind, parameter and input column, e.g. `sum_dep_delay`; what else distinguishes it (a condition, a tie, an input that is
        not a plain column) adds 8 hex digits of the sha256 of its canonical text.
        """
        column = _plain_column(value)
        value = None if value is None else cls.read(value)
        stem = [cls.kind, *([] if parameter is None else [str(parameter)]), *([column] if column else [])]
        rest = [None if part is None else part.text for part in (None if column else value, where, tie)]
        if any(rest):
            stem.append(hashlib.sha256(json.dumps(rest).encode()).hexdigest()[:8])
        return cls(name="_".join(stem), input=value, where=where, tie=tie, parameter=parameter)

    @classmethod
    def read(cls, value: Expression) -> Expression:
        """The input as it is computed with, e.g. as a double."""
        return value

    @property
    def type(self) -> DataType:
        """Of its value in a tile."""
        return self.given.type

    @property
    def output_type(self) -> DataType:
        """Of a feature's value, where its aggregation declares none."""
        return self.type

    @property
    def given(self) -> Expression:
        """The input of a kind that has one."""
        assert self.input is not None, f"{self.name} has no input"
        return self.input

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The physical columns, in storage order."""
        return (Column(name=self.name, type=self.type),)

    @property
    def pivot_column(self) -> str | None:
        """See the class."""
        return None

    # In the engines.

    def event_sql(self, dialect: Dialect) -> str:
        """What an event contributes, null for those that do not; evaluated once for each event."""
        value = self.source_sql(dialect)
        return value if self.where is None else f"CASE WHEN {self.where.sql(dialect)} THEN {value} END"

    def source_sql(self, dialect: Dialect) -> str:
        """As `event_sql`, before its condition."""
        return "1" if self.input is None else self.input.sql(dialect)

    def aggregates(self, value: str, pivot: str) -> Mapping[str, str]:
        """Column → aggregate over the events of a tile: those that need the events only once.

        Args:
            value: What each event contributes, or `*`.
            pivot: What the pivot is the smallest of.
        """
        return {}

    def pivot_aggregates(self, value: str, pivot: str) -> Mapping[str, str]:
        """Column → aggregate over the events of a tile, its pivot beside each."""
        return {}

    def flink_relation(self, value: str, tie: str | None, *, place: Sequence[str], events: str) -> str | None:
        """A relation with the columns that no plain aggregate can find, by `place`: a join to the others. None where there are none.

        Args:
            value: The column that holds what each event contributes.
            tie: The column that breaks ties.
            place: The columns that tell one tile from another.
            events: The relation of the events in their tiles, whose `_time_ms` is their event time.
        """
        return None

    def spark_aggregates(self, value: str, pivot: str) -> Mapping[str, str]:
        """As `aggregates` and `pivot_aggregates`, in Spark, where a pivot is known before either."""
        return {**self.aggregates(value, pivot), **self.pivot_aggregates(value, pivot)}

    def spark_relation(self, *, place: Sequence[str], events: str) -> str | None:
        """As `flink_relation`; events have `#ms`."""
        return None

    # One event.

    @abstractmethod
    def prepare(self, values: pa.Array[Any], time_ms: Int64s, tie: pa.Array[Any] | None) -> Mapping[str, pa.Array[Any]]:
        """A tile of each of n events by itself: what the engines' SQL would make of it, for tests of definitions and of this class.

        Args:
            values: The inputs of the events that contribute, none null; of the count of events any.
            time_ms: int64[n], the event times.
            tie: The values that break ties.

        Returns:
            Column → n values.
        """

    # In the kernel.

    @abstractmethod
    def merge(self, tiles: Tiles, index: TileIndex, window: WindowTiles, *, condensed: bool) -> Any:
        """The tiles of each row merged: what a `Finish` for this kind reads.

        Args:
            tiles: All tiles.
            index: Their order in time.
            window: Which of them each row has.
            condensed: Whether tiles of the window may be many, merged into one.
        """

    def condense(self, tiles: Tiles, index: TileIndex, window: WindowTiles) -> Mapping[str, Values]:
        """The tiles of each row merged into the columns of one."""
        return {self.name: self.merge(tiles, index, window, condensed=True)}

    def finish(self, features: Sequence[Finished], merged: Sequence[Any]) -> Mapping[str, pa.Array[Any]]:
        """The values of all features that have this partial as their first, over one window, by name.

        Args:
            features: They have the same partials.
            merged: Of each of the partials what its `merge` gave.
        """
        return {feature.name: feature.finish.values(feature, merged) for feature in features}

    # Bounds and rules.

    @property
    def rounded(self) -> frozenset[str]:
        """The columns that add doubles, whose last bits depend on the order."""
        return frozenset()

    def stored(self, column: Column) -> Expression | None:
        """The expression whose values a column holds; None where what it holds is made of many."""
        return self.input

    def well_formed(self, column: pa.Array[Any]) -> Bools | None:
        """Which values of one of its columns a reader can make something of; None where each that has the type."""
        return None

    def canonical(self, column: Any) -> Any:
        """One of its columns as the store keeps it, so that equal tiles are equal bytes."""
        return column


def _plain_column(value: Expression | None) -> str | None:
    """The name of a column that is aggregated as it is; names with two underscores could be mistaken for a part's."""
    column = None if value is None else value.column
    return None if column is None or "__" in column else column
