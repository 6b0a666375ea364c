"""How many tiles of the stream the store holds, in one round trip: those behind the frontiers, and those that are accounted for ahead of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from inference.online.connection import Client
from tests.benchmarks.online import inputs
from tests.benchmarks.online.inputs import END_MS, TILE_MS
from tests.benchmarks.works.online_write.stream import after


class Progress:
    """Of all views."""

    def __init__(self, client: Client, given: Path) -> None:
        """Count how many tiles end when.

        Args:
            client: Of the store.
            given: Where `tiles/<view>.parquet` are.
        """
        self._client = client
        self._tiles = {view: dict(_ends(given / "tiles" / f"{view}.parquet")) for view in inputs.VIEWS}
        self.tiles = sum(sum(ends.values()) for ends in self._tiles.values())

    def __call__(self) -> int:
        """How many there are now; the frontier and what is ahead of it are of one moment."""
        pipeline = self._client.pipeline(transaction=True)
        for view, ends in self._tiles.items():
            account = f"tidemark:tidemark:{{{view}}}:"  # see inference.online.frontier
            pipeline.get(f"{account}frontier")
            for end in ends:
                pipeline.scard(f"{account}pending:{end}")
        told = iter(pipeline.execute())
        found = 0
        for ends in self._tiles.values():
            frontier = int(next(told) or END_MS)
            for end, tiles in ends.items():
                ahead = int(next(told))
                found += tiles if end <= frontier else ahead
        return found


def _ends(file: Path) -> Iterator[tuple[int, int]]:
    """Ends of tiles, and how many each has."""
    ends = after(pq.read_table(file, columns=["tile_start"]))["tile_start"].cast(pa.int64()).to_numpy() + TILE_MS
    yield from zip(*(each.tolist() for each in np.unique(ends, return_counts=True)), strict=True)
