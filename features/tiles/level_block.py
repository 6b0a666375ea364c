"""The tiles of larger levels of a key as bytes, in the packed value of a view that has several: see `features.tiles.codec`.

i64 `merged_to`, up to when all tiles are merged into those of larger levels; i64 `dirty_from`, from when on some have come since; u8 flags; for each
larger level, ascending, i64 `kept_from`, u32 length and its records by start; then, for writers alone, which small tiles are in them that are not kept
themselves (`features.tiles.ranges`). A writer's script reads and writes the first two.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from features.tiles.ranges import TileRanges

NOTHING_MERGED = -(1 << 63)
NOTHING_DIRTY = 1 << 62
OUTDATED = 1
"""Small tiles that are merged were corrected since; they are replaced once all of them have come again."""

HEAD = struct.Struct("<qqB")
"""Of a block."""
LEVEL = struct.Struct("<qI")
"""Of a level, ahead of its records."""


@dataclass(frozen=True, kw_only=True)
class LevelTiles:
    """The tiles of one level.

    Attributes:
        kept_from_ms: Tiles that start before were dropped.
        records: As the store keeps tiles, one after the other; each starts where its interval does.
    """

    kept_from_ms: int
    records: bytes | memoryview


@dataclass(frozen=True, kw_only=True)
class LevelBlock:
    """What is kept of a key beside its small tiles.

    Attributes:
        merged_ms: A multiple of the second level: tiles of the larger levels that end by then are there.
        dirty_ms: Small tiles that start from then on, and before `merged_ms`, have come since they were merged.
        outdated: Whether tiles of the larger levels lack corrections.
        levels: Of each larger level.
        ranges: The small tiles in them that are not kept themselves.
    """

    merged_ms: int
    dirty_ms: int
    outdated: bool
    levels: Sequence[LevelTiles]
    ranges: TileRanges

    @classmethod
    def empty(cls, levels: int, kept_from_ms: int) -> LevelBlock:
        """Of a key of which nothing is merged yet, and that lacks what was before a time."""
        nothing = LevelTiles(kept_from_ms=kept_from_ms, records=b"")
        return cls(merged_ms=NOTHING_MERGED, dirty_ms=NOTHING_DIRTY, outdated=False, levels=(nothing,) * levels, ranges=TileRanges.empty())

    @classmethod
    def of(cls, data: bytes | memoryview, levels: int, kept_from_ms: int, *, ranges: bool = True) -> LevelBlock:
        """Read it.

        Args:
            data: The block; of no bytes as `empty`.
            levels: How many larger levels the view has.
            kept_from_ms: As of `empty`.
            ranges: Whether the ranges are wanted.

        Raises:
            ValueError: It is damaged.
        """
        if not data:
            return cls.empty(levels, kept_from_ms)
        try:
            merged, dirty, flags = HEAD.unpack_from(data)
            offset, found = HEAD.size, []
            for _ in range(levels):
                kept_from, length = LEVEL.unpack_from(data, offset)
                offset += LEVEL.size + length
                if offset > len(data):
                    raise ValueError("a level is cut short")
                found.append(LevelTiles(kept_from_ms=kept_from, records=data[offset - length : offset]))
        except struct.error as error:
            raise ValueError(f"levels: {error}") from error
        known = TileRanges.of(bytes(data[offset:])) if ranges else TileRanges.empty()
        return cls(merged_ms=merged, dirty_ms=dirty, outdated=bool(flags & OUTDATED), levels=found, ranges=known)

    @property
    def packed(self) -> bytes:
        """As bytes."""
        parts = [HEAD.pack(self.merged_ms, self.dirty_ms, OUTDATED if self.outdated else 0)]
        for level in self.levels:
            parts += [LEVEL.pack(level.kept_from_ms, len(level.records)), bytes(level.records)]
        return b"".join([*parts, self.ranges.packed])
