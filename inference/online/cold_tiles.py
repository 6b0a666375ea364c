"""Tiles of which the cold ones, that reads as of now need not have, are stored apart; and how both are one again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.tiles.codec import Packed, TileCodec


@dataclass(frozen=True, kw_only=True)
class ViewTiles:
    """One view's packed tiles of n entities, as `features.tiles.codec` packs them; None of an entity that has none.

    Attributes:
        recent: Of n, the newest tiles, or all.
        cold: Of n, the tiles before them; None where they were not asked for.
    """

    recent: Sequence[Packed | None]
    cold: Sequence[Packed | None] | None = None

    def whole(self, codec: TileCodec) -> Sequence[Packed | None]:
        """All that was read of each entity, in one value; `codec` is the view's."""
        if self.cold is None:
            return self.recent
        return [codec.joined(recent, cold) for recent, cold in zip(self.recent, self.cold, strict=True)]
