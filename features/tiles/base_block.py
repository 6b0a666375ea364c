"""The base of a key as bytes, in the packed value of a view with `Lifetime` features: see `features.tiles.codec`.

u8 flags, i64 newest revision of a tile in it; the base: its record, u32 length and its ranges. Where there is another base that is to take its place,
it follows: i64 revision, record, u32 length, ranges. A reader needs the flags, any of which says that the base is not exact, and the first record; a
writer's script the revision; the rest is the writers'.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from features.columns.record import RECORD
from features.tiles.codec import BLOCK, LENGTH
from features.tiles.ranges import TileRanges

INCOMPLETE = 1
"""Tiles were dropped before there was a base, as when a definition changes under its name."""
OUTDATED = 2
"""Some tiles of the base were corrected since; it is replaced once all of them have come again."""

_REVISION = struct.Struct("<q")


@dataclass(frozen=True, kw_only=True)
class Base:
    """Tiles merged into one.

    Attributes:
        record: The merged tile, as the store keeps tiles; its start is where the base ends. Empty of no tiles.
        ranges: Which tiles.
    """

    record: bytes
    ranges: TileRanges


@dataclass(frozen=True, kw_only=True)
class BaseBlock:
    """What is kept of the tiles of a key that are no longer kept themselves.

    Attributes:
        base: What readers add.
        next: Tiles that came in a revision above 0 since the first of them, and what came since; it takes the base's place once it has as many.
        next_revision: That revision.
        incomplete: Tiles were dropped before there was a base.
        outdated: Tiles of the base were corrected since.
    """

    base: Base
    next: Base | None = None
    next_revision: int = 0
    incomplete: bool = False
    outdated: bool = False

    @classmethod
    def of(cls, data: bytes) -> BaseBlock:
        """Read it.

        Raises:
            ValueError: It is damaged.
        """
        if not data:
            return cls(base=Base(record=b"", ranges=TileRanges.empty()))
        following, next_revision = None, 0
        try:
            flags, _ = BLOCK.unpack_from(data)
            base, offset = _base_at(data, BLOCK.size)
            if offset < len(data):
                (next_revision,) = _REVISION.unpack_from(data, offset)
                following, _ = _base_at(data, offset + _REVISION.size)
        except struct.error as error:
            raise ValueError(f"base: {error}") from error
        incomplete, outdated = bool(flags & INCOMPLETE), bool(flags & OUTDATED)
        return cls(base=base, next=following, next_revision=next_revision, incomplete=incomplete, outdated=outdated)

    @property
    def newest_revision(self) -> int:
        """Of a tile in it; 0 of no tiles."""
        return max(self.base.ranges.newest_revision, self.next_revision)

    @property
    def packed(self) -> bytes:
        """As bytes; none of an empty base."""
        if not self.base.record:
            return b""
        flags = (INCOMPLETE if self.incomplete else 0) | (OUTDATED if self.outdated else 0)
        after = b"" if self.next is None else _REVISION.pack(self.next_revision) + _packed(self.next)
        return BLOCK.pack(flags, self.newest_revision) + _packed(self.base) + after


def _base_at(data: bytes, offset: int) -> tuple[Base, int]:
    end = offset + RECORD.size + LENGTH.unpack_from(data, offset)[0]
    begin = end + LENGTH.size
    stop = begin + LENGTH.unpack_from(data, end)[0]
    return Base(record=data[offset:end], ranges=TileRanges.of(data[begin:stop])), stop


def _packed(base: Base) -> bytes:
    ranges = base.ranges.packed
    return base.record + LENGTH.pack(len(ranges)) + ranges
