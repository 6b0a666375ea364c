"""What becomes of tiles that are no longer kept, in a view with `Lifetime` features: they are merged into their key's base.

packed values ─▶ tiles past retention, and ones that came later still ─▶ by the base's ranges: new │ known │ corrected ─▶ merged ─▶ packed values

Any tile may come again at any time: the ranges knows it. One that the base does not know is added, however old. Of a tile that the base has, the
stream's and a bootstrap's revisions (0 and below) are the same; a correction (above 0) cannot be taken apart from the others, so it makes the base
outdated. Tiles that come in a revision above 0, in whatever order, become part of another base as well, which takes the first one's place once it has all
of the same tiles: as `tidemark bootstrap --replace` brings them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from features.columns.values import Bools, Int64s
from features.kernel.condense import condense
from features.tiles.base_block import Base, BaseBlock
from features.tiles.codec import NOTHING_DROPPED, Packed, TileCodec
from features.tiles.compacted import Compacted
from features.tiles.packed_value import PackedValue, moved, put_together
from features.tiles.records import Record

HELD = 1_000
"""While tiles come again, so many are kept longer: one that came again only after it was merged would make the base outdated anew."""

HELD_MS = 24 * 3600 * 1000
"""How long that lasts after the time of their making, which is their revision. `merge_tiles.lua` goes by both as well."""


@dataclass(frozen=True, kw_only=True)
class Retirement:
    """Retires the tiles of one view.

    Attributes:
        codec: The view's.
        retention_ms: How far before the newest tile's end tiles are kept.
    """

    codec: TileCodec
    retention_ms: int

    def compact(self, packed: Sequence[Packed], *, now_ms: int) -> list[Compacted | None]:
        """See `Merge.compact`."""
        keys = [self._key(value, now_ms) for value in packed]
        merges = [merge for key in keys if key is not None for merge in key.merges]
        for merge, record in zip(merges, self._merged(merges), strict=True):
            merge.record = record
        return [None if key is None else self._value(key) for key in keys]

    def _key(self, packed: Packed, now_ms: int) -> _Key | None:
        value = PackedValue.of(self.codec, packed)
        if value is None:
            return None
        cutoff = max(value.newest_end_ms - self.retention_ms, value.kept_from_ms)
        records = value.records.one_by_one()
        due = [record for record in records if record.start_ms < cutoff]
        if not due:
            return None
        try:
            block = BaseBlock.of(value.block)
        except (ValueError, struct.error) as error:
            raise self.codec.damaged(str(error)) from error
        late = sum(record.start_ms < value.kept_from_ms for record in due)
        if block.next is not None and not block.outdated and block.next_revision <= now_ms - HELD_MS:
            block = replace(block, next=None, next_revision=0)  # tiles that were new to the base, and no more of them came again
        if max(block.newest_revision, *(record.revision for record in due)) > now_ms - HELD_MS:
            due = due[: max(late, len(due) - HELD)]
            if not due:
                return None
        kept_from = max(value.kept_from_ms, due[-1].start_ms + self.codec.view.tile_ms)
        if not value.block and value.kept_from_ms != NOTHING_DROPPED:
            block = replace(block, incomplete=True)
        key = _Key(value=value, block=block, kept_from_ms=kept_from, kept=records[len(due) :])
        self._sort_out(key, due)
        return key

    def _sort_out(self, key: _Key, due: Sequence[Record]) -> None:
        """Decide for each tile that is due which base it becomes part of."""
        numbers = np.array([record.start_ms // self.codec.view.tile_ms for record in due], dtype=np.int64)
        revisions = np.array([record.revision for record in due], dtype=np.int64)
        known, revision = key.block.base.ranges.find(numbers)
        corrected = known & (revisions > np.maximum(revision, 0))
        key.current = _Merge.of(key.block.base, due, numbers, revisions, ~known, key.kept_from_ms)
        if np.any(corrected):
            key.block = replace(key.block, outdated=True)
        following, key.next_revision = key.block.next, key.block.next_revision
        newest = int(revisions[corrected | ~known].max(initial=0))
        if newest > key.next_revision and np.any(key.block.base.ranges.revision != newest):
            following, key.next_revision = _NONE, newest
        if following is None:
            return
        again = corrected & (revisions == key.next_revision)
        here, had = following.ranges.find(numbers)
        if np.any(again & here & (revisions > had)):  # what it has of them cannot be taken out again either: from the beginning
            following, here = _NONE, np.zeros_like(here)
        key.next = _Merge.of(following, due, numbers, revisions, (again | ~known) & ~here, key.kept_from_ms)

    def _merged(self, merges: Sequence[_Merge]) -> list[bytes]:
        """The record of each base with what it gets."""
        todo = [number for number, merge in enumerate(merges) if merge.records]
        records = [merge.base.record for merge in merges]
        if todo:
            bodies = [b"".join(merges[number].records) for number in todo]
            bases = [(owner, merges[number].base.record) for owner, number in enumerate(todo) if merges[number].base.record]
            tiles = self.codec.read_with_bases(np.arange(len(todo)), bodies, bases)
            columns = condense(self.codec.view, tiles, owners=len(todo))
            nothing = np.zeros(len(todo), dtype=np.int64)
            for number, record in zip(todo, self.codec.pack(start_ms=nothing, revision=nothing, columns=columns), strict=True):
                records[number] = record
        return [moved(record, merge.end_ms) for record, merge in zip(records, merges, strict=True)]

    def _value(self, key: _Key) -> Compacted:
        assert key.current is not None
        base, following, outdated = key.current.result, None if key.next is None else key.next.result, key.block.outdated
        if following is not None and following.ranges.covers(base.ranges):
            base, following, key.next_revision, outdated = following, None, 0, False
        incomplete = key.block.incomplete
        block = BaseBlock(base=base, next=following, next_revision=key.next_revision, incomplete=incomplete, outdated=outdated)
        value = put_together(
            self.codec,
            kept_from_ms=key.kept_from_ms,
            newest_end_ms=key.value.newest_end_ms,
            block=block.packed,
            records=[record.data for record in key.kept],
        )
        return Compacted(value=value)


@dataclass(kw_only=True)
class _Merge:
    """A base, and the tiles that it gets."""

    base: Base
    records: Sequence[bytes]
    numbers: Int64s
    revisions: Int64s
    end_ms: int
    record: bytes = b""

    @classmethod
    def of(cls, base: Base, due: Sequence[Record], numbers: Int64s, revisions: Int64s, wanted: Bools, end_ms: int) -> _Merge:
        records = [due[place].data for place in np.flatnonzero(wanted).tolist()]
        return cls(base=base, records=records, numbers=numbers[wanted], revisions=revisions[wanted], end_ms=end_ms)

    @property
    def result(self) -> Base:
        return Base(record=self.record, ranges=self.base.ranges.add(self.numbers, self.revisions))


@dataclass(kw_only=True)
class _Key:
    """One packed value, while it is worked on."""

    value: PackedValue
    block: BaseBlock
    kept_from_ms: int
    kept: Sequence[Record]
    current: _Merge | None = None
    next: _Merge | None = None
    next_revision: int = field(default=0)

    @property
    def merges(self) -> list[_Merge]:
        return [merge for merge in (self.current, self.next) if merge is not None]


_NONE = BaseBlock.of(b"").base
