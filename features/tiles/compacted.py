"""What becomes of a packed value in which tiles were merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from features.tiles.codec import Packed


@dataclass(frozen=True, kw_only=True)
class Compacted:
    """A packed value that is to take another's place.

    Attributes:
        value: All of it.
        cold: Small tiles that leave it for the cold ones, as records by start; None where there are no cold ones.
        cold_from_ms: Cold tiles that start before are dropped.
        drops: Whether some leave that are not kept there either.
    """

    value: bytes
    cold: bytes | None = None
    cold_from_ms: int = -(1 << 63)
    drops: bool = False


class Merge(Protocol):
    """Merges tiles in packed values of one view: `features.tiles.compaction.Retirement` and `features.tiles.rollup.Rollup`."""

    def compact(self, packed: Sequence[Packed], *, now_ms: int) -> list[Compacted | None]:
        """Merge what is due in each packed value.

        Args:
            packed: The values.
            now_ms: The time.

        Returns:
            For each what is to replace it; None where nothing is due.

        Raises:
            DataError: A value is damaged.
        """
        ...
