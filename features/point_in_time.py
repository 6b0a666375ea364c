"""Point-in-time features from history, for a group of requests at a time: requests and tiles in, the kernel's values out. No engine imported."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.columns.column import TILE_START, Column, engine_type
from features.columns.tile_table import Tiles
from features.kernel.fold import fold
from features.plan import ViewPlan
from schemas.types import DataType

ROW = "#row"
"""int64: which request a row of values belongs to."""
AS_OF = "#as_of"
"""int64: the request's event time, ms since the epoch."""
FILE, POSITION = "#file", "#position"
"""Where a request was read: the file's path, and the row's number in it."""
VIEW = "#view"
"""int32: which of several views a row belongs to."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Folds one view's tiles as of many requests. Picklable, so that an engine can send it to its workers.

    Attributes:
        view: The view's plan.
    """

    view: ViewPlan

    @property
    def schema(self) -> pa.Schema:
        """Of the values: the row, then the view's features."""
        return pa.schema([pa.field(ROW, pa.int64()), *(pa.field(feature.name, feature.type.arrow) for feature in self.view.features)])

    def __call__(self, requests: pa.Table, tiles: pa.Table) -> pa.Table:
        """The view's features of every request.

        Args:
            requests: m rows: `ROW`, `AS_OF` and the key columns; a null key has no tiles.
            tiles: n rows: the key columns, `tile_start` and the tile columns, of every key that is among the requests. A row without a
                start is the key's base: all tiles before the others, and before any request's boundary, merged.

        Returns:
            m rows of `schema`, in the order of the requests.
        """
        owner, asked = _owners([tiles.column(key.name) for key in self.view.keys], [requests.column(key.name) for key in self.view.keys])
        starts: Any = tiles.column(TILE_START).cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
        base = starts.is_null().to_numpy() if starts.null_count else None
        start_ms = starts.fill_null(np.iinfo(np.int64).min).to_numpy()
        read = Tiles.of(self.view.tile_columns, owner=owner, start_ms=start_ms, table=tiles, base=base)
        folded = fold(self.view, read, owner=asked, boundary_ms=self.view.boundary_ms(requests.column(AS_OF).to_numpy()))
        values = [requests.column(ROW), *(folded[feature.name] for feature in self.view.features)]
        return pa.table(values, schema=self.schema)


@dataclass(frozen=True, kw_only=True)
class SharedColumns:
    """Several views' keys and tiles in one relation: columns of one type share a lane, so that it is no wider than the widest view.

    Attributes:
        views: The views; a row's `VIEW` is an index into them.
    """

    views: tuple[ViewPlan, ...]

    def keys(self, number: int) -> dict[str, str]:
        """Key column → lane, of one view."""
        return self._lanes(self.views[number].keys)

    def columns(self, number: int) -> dict[str, str]:
        """Key column and tile column → lane, of one view."""
        view = self.views[number]
        return self._lanes((*view.keys, *view.tile_columns))

    @cached_property
    def types(self) -> dict[str, DataType]:
        """Lane → type, of all."""
        return self._types([(*view.keys, *view.tile_columns) for view in self.views])

    @cached_property
    def key_types(self) -> dict[str, DataType]:
        """Lane → type, of those that hold keys."""
        return self._types([view.keys for view in self.views])

    def tiles(self, number: int, table: pa.Table) -> pa.Table:
        """One view's tiles among all, under their own names."""
        return self._own(number, table, {TILE_START: TILE_START, **self.columns(number)})

    def requests(self, number: int, table: pa.Table) -> pa.Table:
        """The requests to one view among all, with their keys under their own names."""
        lanes = {name: name for name in table.column_names if name not in self.key_types}
        return self._own(number, table, {**lanes, **self.keys(number)})

    def _own(self, number: int, table: pa.Table, lanes: dict[str, str]) -> pa.Table:
        own = table if len(self.views) == 1 else table.filter(pc.equal(table.column(VIEW), pa.scalar(number, pa.int32())))
        return pa.table([own.column(lane) for lane in lanes.values()], names=list(lanes))

    @staticmethod
    def _lanes(columns: tuple[Column, ...]) -> dict[str, str]:
        taken: Counter[DataType] = Counter()
        lanes = {}
        for column in columns:
            lanes[column.name] = f"#{column.type}_{taken[column.type]}"
            taken[column.type] += 1
        return lanes

    def _types(self, groups: list[tuple[Column, ...]]) -> dict[str, DataType]:
        return {lane: column.type for group in groups for column, lane in zip(group, self._lanes(group).values(), strict=True)}


def fold_all(lanes: SharedColumns, requests: pa.Table, tiles: pa.Table) -> pa.Table:
    """The features of every view beside every request.

    Args:
        lanes: The views.
        requests: m rows: `AS_OF`, the key columns of all views, and whatever else is to be kept.
        tiles: Of all views, in lanes: those of every key that is among the requests.

    Returns:
        m rows: the requests' columns, then the features.
    """
    numbered = requests.append_column(ROW, pa.array(np.arange(len(requests)), pa.int64()))
    for number, view in enumerate(lanes.views):
        values = Folder(view=view)(numbered, lanes.tiles(number, tiles))
        for feature in view.features:
            requests = requests.append_column(feature.name, values.column(feature.name))
    return requests


def fold_each(lanes: SharedColumns, kept: tuple[str, ...], requests: pa.Table, tiles: pa.Table) -> pa.Table:
    """The features of requests that ask one view each.

    Args:
        lanes: The views.
        kept: The columns of the requests to keep.
        requests: m rows: `VIEW`, `AS_OF`, the keys in lanes, and `kept`.
        tiles: As for `fold_all`.

    Returns:
        m rows in any order: `kept`, then the features of all views, null where they belong to another view.
    """
    features = [feature for view in lanes.views for feature in view.features]
    schema = pa.schema([requests.schema.field(name) for name in kept] + [pa.field(f.name, engine_type(f.type)) for f in features])
    parts = []
    for number in np.unique(requests.column(VIEW).to_numpy()):
        asked = lanes.requests(int(number), requests)
        numbered = asked.append_column(ROW, pa.array(np.arange(len(asked)), pa.int64()))
        values = Folder(view=lanes.views[number])(numbered, lanes.tiles(int(number), tiles))
        columns = {name: asked.column(name) for name in kept} | {name: values.column(name) for name in values.column_names}
        nulls: Any = pa.nulls
        parts.append(
            pa.table([columns[f.name].cast(f.type) if f.name in columns else nulls(len(asked), f.type) for f in schema], schema=schema)
        )
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _owners(tiles: list[pa.ChunkedArray[Any]], requests: list[pa.ChunkedArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One number per distinct key: for the tiles, and for the requests (−1 where a part is null)."""
    n = len(tiles[0])
    number: NDArray[np.int64] = np.zeros(n + len(requests[0]), dtype=np.int64)
    whole: NDArray[np.bool_] = np.ones(len(number), dtype=np.bool_)
    for ours, theirs in zip(tiles, requests, strict=True):
        both: Any = pa.chunked_array([*ours.chunks, *theirs.cast(ours.type).chunks], type=ours.type).combine_chunks()
        part = both.dictionary_encode()
        whole &= part.is_valid().to_numpy(zero_copy_only=False)
        codes = part.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        # Numbered anew after each part, so that the product of sizes cannot overflow.
        _, number = np.unique(number * max(1, len(part.dictionary)) + codes, return_inverse=True)
    number = np.where(whole, number, -1)
    return number[:n], number[n:]
