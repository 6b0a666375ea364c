"""The bases of `Lifetime` features from history: one pass over tiles in order of time, with bounded memory. No engine imported.

Tiles of a key come in the order in which they leave the view's longest window, and among them marks, each of which asks for all tiles before it,
merged. So a key's whole history is read once, however many pieces of time it is cut into, and none of it is held but one merged tile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.columns.column import TILE_START, Column, engine_type
from features.columns.tile_table import Tiles
from features.columns.values import Bools, Int64s, Values
from features.kernel.condense import condense
from features.plan import ViewPlan
from schemas.types import DataType

MARK = "#mark"
"""int64: the piece of time that a base is asked for; null in a tile."""
LEAVES = "#leaves"
"""int64: when a tile has left the longest window, or when a base is needed, ms since the epoch."""


@dataclass(frozen=True, kw_only=True)
class BaseMaker:
    """Makes bases at marks. Picklable, so that an engine can send it to its workers.

    Attributes:
        view: Whose tiles.
        with_tiles: Hand the tiles on as well, so that an engine need not make them twice.
    """

    view: ViewPlan
    with_tiles: bool = False

    @property
    def schema(self) -> pa.Schema:
        """Of tiles, marks and bases: the mark, the key columns, `tile_start` and the tile columns; a base has no start."""
        start = Column(name=TILE_START, type=DataType.TIMESTAMP)
        columns = (Column(name=MARK, type=DataType.INT64), *self.view.keys, start, *self.view.tile_columns)
        return pa.schema([pa.field(column.name, engine_type(column.type)) for column in columns])

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Read tiles, bases and marks, sorted by key, then by `LEAVES`, at equal times marks last; of a key's bases only one, and it first.

        Yields:
            A base for each mark that has any tile of its key before it; and the tiles, if they are wanted.
        """
        carried = self.schema.empty_table()
        for batch in batches:
            own = pa.Table.from_batches([batch]).select(self.schema.names).cast(self.schema)
            if self.with_tiles:
                yield from own.filter(pc.is_valid(own.column(TILE_START))).to_batches()
            rows = pa.concat_tables([carried, own])
            if len(rows):
                found, carried = self._at_marks(rows.combine_chunks())
                yield from found.to_batches()

    def _at_marks(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The bases of the marks, and that of the last key so far."""
        mark = rows.column(MARK).is_valid().to_numpy()
        key = np.cumsum(self._changes(rows)) - 1
        segment, first = _segments(mark, key)  # runs of tiles of one key without a mark between
        if not len(first):
            return self.schema.empty_table(), self.schema.empty_table()
        tiles = rows.filter(pa.array(~mark))
        runs = self._condensed(tiles, segment[~mark], len(first))
        asked = np.flatnonzero(mark & (segment >= 0))
        asked = asked[key[first[segment[asked]]] == key[asked]]
        wanted, of = np.unique(np.append(segment[asked], len(first) - 1), return_inverse=True)
        bases = self._prefixes(runs, key[first], wanted)
        found = bases.take(of[:-1])
        columns = [rows.column(name).take(asked) for name in (MARK, *(column.name for column in self.view.keys))]
        found = pa.table([*columns, *found.columns[len(columns) :]], schema=self.schema)
        ended = key[first[-1]] != key[-1]
        return found, self.schema.empty_table() if ended else bases.slice(len(bases) - 1)

    def _changes(self, rows: pa.Table) -> Bools:
        """Where another key begins."""
        changed = np.zeros(len(rows), dtype=np.bool_)
        changed[0] = True
        for column in self.view.keys:
            changed[1:] |= np.diff(Values.of(rows.column(column.name), column.type).numbers) != 0
        return changed

    def _prefixes(self, runs: pa.Table, key: Int64s, wanted: Int64s) -> pa.Table:
        """Each wanted run merged with all runs of its key before it."""
        begin = np.searchsorted(key, key[wanted])
        lengths = wanted - begin + 1
        owner = np.repeat(np.arange(len(wanted)), lengths)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        taken = runs.take(begin[owner] + within)
        # In the order of time, which is all that the merge asks of starts.
        return self._condensed(taken, owner, len(wanted), start_ms=within * self.view.tile_ms)

    def _condensed(self, tiles: pa.Table, owner: Int64s, owners: int, start_ms: Int64s | None = None) -> pa.Table:
        base: Bools | None = None
        if start_ms is None:
            starts: Any = tiles.column(TILE_START).cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
            base = starts.is_null().to_numpy()
            start_ms = pc.fill_null(starts, np.iinfo(np.int64).min).to_numpy()
        read = Tiles.of(self.view.tile_columns, owner=owner, start_ms=start_ms, table=tiles, base=base)
        columns = condense(self.view, read, owners=owners)
        firsts = tiles.take(np.searchsorted(owner, np.arange(owners)))
        nulls: Any = pa.nulls
        arrays: dict[str, Any] = {MARK: nulls(owners, pa.int64())} | {key.name: firsts.column(key.name) for key in self.view.keys}
        arrays[TILE_START] = nulls(owners, self.schema.field(TILE_START).type)
        arrays |= {column.name: columns[column.name].arrow(column.type) for column in self.view.tile_columns}
        return pa.table({field.name: arrays[field.name].cast(field.type) for field in self.schema})


def _segments(mark: Bools, key: Int64s) -> tuple[Int64s, Int64s]:
    """The last run of tiles that began at or before each row (−1: none), and the row where each begins."""
    begins = ~mark
    begins[1:] &= mark[:-1] | (np.diff(key) != 0)
    return np.cumsum(begins) - 1, np.flatnonzero(begins)
