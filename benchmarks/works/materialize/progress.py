"""How many tiles of the stream the store holds: those behind the frontiers, and those that are accounted for ahead of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.online import inputs
from benchmarks.online.inputs import END_MS, TILE_MS
from benchmarks.works.online_write.stream import after
from inference.online.redis.connection import Client

# One call for a view, so that looking costs next to nothing beside the work; the keys are those of `inference.online.frontier`.
_ACCOUNT = """
local ahead = 0
for _, tile_end in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do ahead = ahead + redis.call('SCARD', KEYS[3] .. tile_end) end
return {redis.call('GET', KEYS[1]), ahead}
"""


class Progress:
    """Of all views."""

    def __init__(self, client: Client, given: Path) -> None:
        """Count which tiles there will be.

        Args:
            client: Of the store.
            given: Where `tiles/<view>.parquet` are.
        """
        self._account: Any = client.register_script(_ACCOUNT)
        self._ends = {view: _ends(given / "tiles" / f"{view}.parquet") for view in inputs.VIEWS}
        self.tiles = sum(map(len, self._ends.values()))

    def __call__(self) -> int:
        """How many there are now."""
        return sum(int(np.searchsorted(ends, frontier, side="right")) + ahead for ends, frontier, ahead in map(self._of, self._ends))

    def _of(self, view: str) -> tuple[Any, int, int]:
        frontier, ahead = self._account(keys=[f"tidemark:tidemark:{{{view}}}:{part}" for part in ("frontier", "pending", "pending:")])
        return self._ends[view], int(frontier or END_MS), int(ahead)


def _ends(file: Path) -> Any:
    """Of each tile, in ms, ascending: int64[tiles]."""
    return np.sort(after(pq.read_table(file, columns=["tile_start"]))["tile_start"].cast(pa.int64()).to_numpy()) + TILE_MS
