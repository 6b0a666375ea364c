"""Merges tiles that are stored, where views have `Lifetime` features or several levels: read, merge here, put back unless somebody was faster."""

from __future__ import annotations

import time
from collections.abc import Sequence

from features.tiles.compacted import Merge
from inference.online.store import Member, TileMerges
from schemas.errors import ServiceError

RETIRE_AT = 32
"""So many tiles are merged at a time, at least: a key that gets a tile at each step is not read and written back at each."""

_KEYS = 256  # worked on at once
_TRIES = 100


class Compactor:
    """Of one view's entities."""

    def __init__(self, merge: Merge, tiles: TileMerges) -> None:
        """Prepare.

        Args:
            merge: What becomes of them.
            tiles: Where they are.
        """
        self._merge = merge
        self._tiles = tiles

    def compact(self, members: Sequence[Member]) -> None:
        """Merge all that is due of these entities. Who loses a race reads again; whoever wins has merged the same.

        Raises:
            DataError: A stored value is damaged.
            ServiceError: The store does not answer, or the entities are never left alone.
        """
        for first in range(0, len(members), _KEYS):
            left = list(members[first : first + _KEYS])
            for _ in range(_TRIES):
                left = self._try(left)
                if not left:
                    break
            else:
                raise ServiceError(f"redis: {len(left):,} keys change each time before their tiles can be merged; run fewer writers")

    def _try(self, members: Sequence[Member]) -> list[Member]:
        """One attempt; returns the entities that changed meanwhile."""
        found = [(member, old) for member, old in zip(members, self._tiles.stored(members), strict=True) if old is not None]
        compacted = self._merge.compact([old.packed for _, old in found], now_ms=time.time_ns() // 1_000_000)
        due = [(member, old, new) for (member, old), new in zip(found, compacted, strict=True) if new is not None]
        return [member for (member, _, _), done in zip(due, self._tiles.replace(due), strict=True) if not done]
