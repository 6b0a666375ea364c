"""Partials that are maps of sub-key → int64, one column of text each: what all of them have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.columns.column import Column
from features.columns.tile_table import TileIndex, Tiles, WindowTiles
from features.columns.values import Bools, Int64s, Values
from features.expressions.expression import Expression
from features.partials.finish import Finished
from features.partials.map_text import TOO_LARGE, Entries, bounded, canonical, well_formed
from features.partials.merged_map import Gathered, Merged
from features.partials.partial import Partial
from features.sql_text import Dialect, nested, quote, select
from schemas.types import DataType


class MapPartial(Partial):
    """A map as text, see `map_text`; null of nothing, `TOO_LARGE` where its entries are too many.

    Attributes:
        operation: Merges the numbers of one sub-key; None keeps every entry, so that a sub-key may have several.
    """

    operation: ClassVar[np.ufunc | None] = np.add

    @property
    def type(self) -> DataType:
        """Text."""
        return DataType.STRING

    @property
    def output_type(self) -> DataType:
        """Of the values."""
        return self.given.type

    @abstractmethod
    def sub_key_sql(self, source: str, dialect: Dialect) -> str:
        """The sub-key, from a column of `event_sql`."""

    def number_sql(self, source: str, dialect: Dialect) -> str:
        """The aggregate that is kept for each sub-key."""
        return "COUNT(*)"

    @property
    def sub_key_pattern(self) -> str:
        """What a sub-key looks like, a regular expression."""
        return "[^,]*"

    @abstractmethod
    def entries(self, values: pa.Array[Any], time_ms: Int64s) -> Sequence[str]:
        """The text of each event by itself."""

    def bounds(self, merged: Merged) -> Bools:
        """Which rows have more merged entries than a tile may keep."""
        return merged.too_many

    def condensed(self, merged: Merged) -> Merged:
        """What a tile would keep of merged entries."""
        return merged

    def arranged(self, merged: Merged) -> Merged:
        """Merged entries as this kind's finishes read them, once for all of them."""
        return merged

    def prepare(self, values: pa.Array[Any], time_ms: Int64s, tie: pa.Array[Any] | None) -> Mapping[str, pa.Array[Any]]:
        """One entry of each event."""
        return {self.name: pa.array(self.entries(values, time_ms), pa.string())}

    def flink_relation(self, value: str, tie: str | None, *, place: Sequence[str], events: str) -> str | None:
        """The entries of each tile: a number for each sub-key, then all of them as one text, in any order."""
        key = self.sub_key_sql(value, "flink")
        grouped = select(
            [*place, f"{key} AS `_sub_key`", f"{self.number_sql(value, 'flink')} AS `_number`"],
            events,
            f"WHERE {value} IS NOT NULL",
            f"GROUP BY {', '.join([*place, key])}",
        )
        rows = select([*place, "CAST(`_number` AS STRING) || ' ' || `_sub_key` AS `_entry`"], nested(grouped))
        return self.flink_texts(rows, place)

    def flink_texts(self, rows: str, place: Sequence[str]) -> str:
        """Rows of one `_entry` each → all entries of each tile as one text."""
        entries = bounded("LISTAGG(`_entry`, ',')", "SUM(CHAR_LENGTH(`_entry`) + 1)")
        return select([*place, f"{entries} AS {quote(self.name)}"], nested(rows), f"GROUP BY {', '.join(place)}")

    def spark_relation(self, *, place: Sequence[str], events: str) -> str | None:
        """As in Flink, entries in the order of their sub-keys."""
        source = select([*place, f"{self.event_sql('spark')} AS `#in`"], events)
        grouped = [f"{self.sub_key_sql('`#in`', 'spark')} AS `#sub_key`", f"{self.number_sql('`#in`', 'spark')} AS `#number`"]
        by_key = select([*place, *grouped], nested(source), "WHERE `#in` IS NOT NULL", f"GROUP BY {', '.join([*place, '`#sub_key`'])}")
        return self.spark_texts(by_key, place)

    def spark_texts(self, rows: str, place: Sequence[str]) -> str:
        """Rows of `#sub_key` and `#number` → all entries of each tile as one text."""
        entries = "ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`)))"
        characters = "SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2)"
        text = f"ARRAY_JOIN(TRANSFORM({entries}, e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',')"
        return select([*place, f"{bounded(text, characters)} AS {quote(self.name)}"], nested(rows), f"GROUP BY {', '.join(place)}")

    def merge(self, tiles: Tiles, index: TileIndex, window: WindowTiles, *, condensed: bool) -> Gathered:
        """Gathered, and merged as it is read, so that memory is bounded."""
        return Gathered.of(
            self.operation,
            tiles.columns[self.name],
            tiles.read(self.name, Entries.of),
            rows=window.size,
            row=window.row,
            tile=window.tile,
            condensed=condensed,
        )

    def condense(self, tiles: Tiles, index: TileIndex, window: WindowTiles) -> Mapping[str, Values]:
        """The merged map of each row as a tile would keep it: text, `TOO_LARGE` where entries are too many, null of nothing."""
        gathered = self.merge(tiles, index, window, condensed=True)
        parts = []
        for merged in gathered.pieces():
            kept = self.condensed(merged)
            parts.append(kept.texts(self.bounds(kept)))
        texts = pa.concat_arrays(parts)
        if gathered.unknown.any():
            unknown: Any = pa.array(gathered.unknown)
            texts = pc.if_else(unknown, pa.scalar(TOO_LARGE), texts)  # type: ignore[call-overload, unused-ignore]
        return {self.name: Values.of(texts, self.type)}

    def finish(self, features: Sequence[Finished], merged: Sequence[Any]) -> Mapping[str, pa.Array[Any]]:
        """All features of the map and window; null where a tile of the window says that its entries were too many.

        Where tiles may be many, merged into one, nothing else bounds the map: it is null also where the merged entries are too many.
        """
        gathered: Gathered
        (gathered,) = merged
        pieces, unknown = [], []
        for piece in gathered.pieces():
            arranged = self.arranged(piece)
            pieces.append({feature.name: feature.finish.values(feature, (arranged,)) for feature in features})
            unknown.append(self.bounds(piece) if gathered.condensed else np.zeros(piece.rows, dtype=np.bool_))
        found = {feature.name: pa.concat_arrays([piece[feature.name] for piece in pieces]) for feature in features}
        nothing = gathered.unknown | np.concatenate(unknown)
        if not nothing.any():
            return found
        mask: Any = pa.array(nothing)
        return {name: pc.if_else(mask, pa.scalar(None, column.type), column) for name, column in found.items()}

    def stored(self, column: Column) -> Expression | None:
        """A map is made of many values."""
        return None

    def well_formed(self, column: pa.Array[Any]) -> Bools | None:
        """Which texts are entries of this kind."""
        return well_formed(column, self.sub_key_pattern)

    def canonical(self, column: Any) -> Any:
        """Entries in order: engines write them in any."""
        return pa.array([canonical(text) for text in column.to_pylist()], type=pa.string())
