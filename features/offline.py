"""Point-in-time features from history, for a bucket of keys at a time: requests and tiles in, the kernel's values out. No engine imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.compiler.plan import ViewPlan
from features.kernel import Tiles, fold

ROW = "#row"
"""int64: which request a row of values belongs to."""
AS_OF = "#as_of"
"""int64: the request's event time, ms since the epoch."""
TILE_START = "tile_start"


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
            tiles: n rows: the key columns, `tile_start` and the tile columns, of every key that is among the requests.

        Returns:
            m rows of `schema`, in the order of the requests.
        """
        owner, asked = _owners([tiles.column(key.name) for key in self.view.keys], [requests.column(key.name) for key in self.view.keys])
        start_ms = tiles.column(TILE_START).cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy()
        folded = fold(
            self.view,
            Tiles.of(self.view, owner=owner, start_ms=start_ms, table=tiles),
            owner=asked,
            boundary_ms=self.view.boundary_ms(requests.column(AS_OF).to_numpy()),
        )
        values = [requests.column(ROW), *(folded[feature.name] for feature in self.view.features)]
        return pa.table(values, schema=self.schema)


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
