"""Merges a key's small tiles into those of larger levels (`features.levels`), in its packed value.

small tiles ─▶ those of closed intervals, and ones that came later still ─▶ condensed, level by level ─▶ the value that is to be there

A tile of a larger level whose small tiles are all kept is made of them, and made anew whenever one of them changes. Small tiles are kept as long as a
read may take them one by one; then only what they were merged into is, and their numbers and revisions (`features.tiles.ranges`). One that comes after
that is merged if it is new. If it is known, the stream's and a bootstrap's (revision 0 and below) is dropped; a correction (above 0) waits until those of
all known tiles of its interval of the largest level have come, as `tidemark correct` and `bootstrap --replace` bring them, and takes their place together
with them; until then the key is outdated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from features.columns.values import Bools
from features.kernel.condense import condense
from features.tiles.codec import NOTHING_DROPPED, Packed, TileCodec
from features.tiles.compacted import Compacted
from features.tiles.compaction import HELD_MS
from features.tiles.level_block import NOTHING_DIRTY, LevelBlock, LevelTiles
from features.tiles.packed_value import PackedValue, put_together
from features.tiles.ranges import TileRanges
from features.tiles.records import Records


@dataclass(frozen=True, kw_only=True)
class Rollup:
    """Merges the tiles of one view that has several levels.

    Attributes:
        codec: The view's.
        slack_ms: How much longer than reads as of now need them tiles are kept.
        recent_ms: How far before the newest tile's end small tiles stay; older ones leave for the cold ones. None: there are no cold ones.
    """

    codec: TileCodec
    slack_ms: int
    recent_ms: int | None = None

    def compact(self, packed: Sequence[Packed], *, now_ms: int) -> list[Compacted | None]:
        """See `Merge.compact`."""
        keys = [self._key(value, now_ms) for value in packed]
        due = [key for key in keys if key is not None]
        for level in range(1, len(self.codec.view.levels_ms)):
            self._merge(level, due)
        return [None if key is None else self._value(key) for key in keys]

    def _key(self, packed: Packed, now_ms: int) -> _Key | None:
        """Read a value, and decide what becomes of its small tiles; None where nothing is closed, or it is another definition's."""
        view, value = self.codec.view, PackedValue.of(self.codec, packed)
        if value is None:
            return None
        kept_from, newest_end, small = value.kept_from_ms, value.newest_end_ms, value.records
        block = self.codec.level_block(value.block, kept_from)
        interval = view.levels_ms[1]
        end_ms = newest_end // interval * interval
        first_ms = kept_from if kept_from == NOTHING_DROPPED else -(-kept_from // interval) * interval
        if first_ms > end_ms or not len(small):
            return None
        key = _Key(
            block=block,
            small=small,
            end_ms=end_ms,
            newest_end_ms=newest_end,
            kept_from_ms=kept_from,
            levels=self._levels(block),
            now_ms=now_ms,
        )
        self._sort_out(key, first_ms)
        return key

    def _levels(self, block: LevelBlock) -> list[dict[int, bytes]]:
        """The tiles of each larger level by their starts."""
        return [Records.of(self.codec, level.records).by_start() for level in block.levels]

    def _sort_out(self, key: _Key, first_ms: int) -> None:
        """Decide of each small tile whether it is kept, merged, dropped, or waits.

        Args:
            key: Whose.
            first_ms: Where the first interval begins of which all small tiles that came are here.
        """
        sizes, small = self.codec.view.levels_ms, key.small
        numbers, tops = small.start_ms // sizes[0], small.start_ms // sizes[-1] * sizes[-1]
        past = small.start_ms < first_ms
        known, revision = key.block.ranges.find(numbers)
        waiting = past & known & (small.revision > np.maximum(revision, 0))
        for start_ms in np.unique(tops[waiting]).tolist():
            inside = past & (tops == start_ms)
            again = inside & (~known | (small.revision >= revision))
            merged = key.block.ranges.within(start_ms // sizes[0], (start_ms + sizes[-1]) // sizes[0])
            if TileRanges.empty().add(numbers[again], small.revision[again]).covers(merged):
                key.replace(start_ms, sizes)
                waiting &= ~inside
        replaced = np.isin(tops, sorted(key.replaced))
        added = past & (~known | replaced)
        fresh = ~past & (small.start_ms >= min(key.block.merged_ms, key.block.dirty_ms))
        due = added | fresh | replaced
        key.due[0] = set(np.unique(small.start_ms[due] // sizes[1] * sizes[1]).tolist())
        key.waiting, key.added, key.first_ms = waiting, added, first_ms

    def _merge(self, level: int, keys: Sequence[_Key]) -> None:
        """Make the tiles of one level that are due, of all keys at once."""
        size_ms, below_ms = self.codec.view.levels_ms[level], self.codec.view.levels_ms[level - 1]
        jobs: list[tuple[_Key, int]] = []
        bodies: list[bytes] = []
        for key in keys:
            for start_ms in sorted(key.due[level - 1]):
                if start_ms + size_ms <= key.end_ms:
                    jobs.append((key, start_ms))
                    bodies.append(self._parts(key, level, start_ms, size_ms, below_ms))
        if jobs:
            tiles = self.codec.read(np.arange(len(jobs), dtype=np.int64), bodies)
            columns = condense(self.codec.view, tiles, owners=len(jobs))
            starts = np.array([start_ms for _, start_ms in jobs], dtype=np.int64)
            records = self.codec.pack(start_ms=starts, revision=np.zeros_like(starts), columns=columns)
            for (key, start_ms), record in zip(jobs, records, strict=True):
                key.levels[level - 1][start_ms] = record
        if level < self.codec.larger_levels:
            next_ms = self.codec.view.levels_ms[level + 1]
            for key in keys:
                closed = [start_ms for start_ms in key.levels[level - 1] if start_ms // next_ms * next_ms + next_ms > key.block.merged_ms]
                key.due[level] = {start_ms // next_ms * next_ms for start_ms in (*key.due[level - 1], *closed)}

    def _parts(self, key: _Key, level: int, start_ms: int, size_ms: int, below_ms: int) -> bytes:
        """What a tile of a level is made of: all tiles of the level below, where they are there; else itself, and what is new."""
        end_ms = start_ms + size_ms
        whole = (
            start_ms >= key.first_ms if level == 1 else end_ms > key.block.merged_ms or start_ms >= key.block.levels[level - 2].kept_from_ms
        )
        if whole or _covered(start_ms, key.replaced, self.codec.view.levels_ms[-1]):
            if level == 1:
                return key.small.between(start_ms, end_ms)
            below = key.levels[level - 2]
            return b"".join([below[each] for each in range(start_ms, end_ms, below_ms) if each in below])
        there = (key.small.start_ms >= start_ms) & (key.small.start_ms < end_ms)
        return key.levels[level - 1].get(start_ms, b"") + key.small.chosen(there & key.added)

    def _value(self, key: _Key) -> Compacted:
        """The value, without the tiles that no read as of now needs, nor one that lies back by the slack."""
        view, small = self.codec.view, key.small
        sizes, ends = view.levels_ms, [key.newest_end_ms - reach - self.slack_ms for reach in view.reaches_ms]
        cold_from = ends[0] // sizes[1] * sizes[1]
        if self.recent_ms is not None:
            ends[0] = key.newest_end_ms - self.recent_ms
        cuts = [min(end, key.end_ms) // size * size for end, size in zip(ends, (*sizes[1:], sizes[-1]), strict=True)]
        cuts[0] = max(cuts[0], key.first_ms)
        leaving = (small.start_ms < cuts[0]) & (key.added | (small.start_ms >= key.first_ms))
        lost = leaving & (small.start_ms >= key.kept_from_ms)
        kept_from = max(key.kept_from_ms, cuts[0]) if lost.any() else key.kept_from_ms
        ranges = key.ranges(sizes).add(small.start_ms[leaving] // sizes[0], small.revision[leaving])
        stays = (small.start_ms >= cuts[0]) | key.waiting | self._copies(small, ranges, cuts[0], key.now_ms)
        levels = []
        for tiles, level, cut in zip(key.levels, key.block.levels, cuts[1:], strict=True):
            kept = sorted(start_ms for start_ms in tiles if start_ms >= cut)
            dropped = any(level.kept_from_ms <= start_ms < cut for start_ms in tiles)
            from_ms = max(level.kept_from_ms, cut) if dropped else level.kept_from_ms
            levels.append(LevelTiles(kept_from_ms=from_ms, records=b"".join([tiles[start_ms] for start_ms in kept])))
        block = LevelBlock(
            merged_ms=key.end_ms,
            dirty_ms=NOTHING_DIRTY,
            outdated=bool(key.waiting.any()),
            levels=levels,
            ranges=ranges.within(cuts[-1] // sizes[0], key.end_ms // sizes[0]),
        ).packed
        cold = small.chosen(leaving & (small.start_ms >= cold_from)) if self.recent_ms is not None else None
        value = put_together(
            self.codec, kept_from_ms=kept_from, newest_end_ms=key.newest_end_ms, block=block, records=[small.chosen(stays)]
        )
        return Compacted(value=value, cold=cold, cold_from_ms=cold_from, drops=bool((leaving & (small.start_ms < cold_from)).any()))

    def _copies(self, small: Records, merged: TileRanges, cut_ms: int, now_ms: int) -> Bools:
        """Which corrected tiles are kept although they are merged: those of whose interval others may be yet to come, as of a run that is under way."""
        sizes = self.codec.view.levels_ms
        tops = small.start_ms // sizes[-1] * sizes[-1]
        found = (small.start_ms < cut_ms) & (small.revision > max(now_ms - HELD_MS, 0))
        for start_ms in np.unique(tops[found]).tolist():
            others = merged.within(start_ms // sizes[0], (start_ms + sizes[-1]) // sizes[0]).revision
            found &= (tops != start_ms) | (small.revision > others.min(initial=now_ms))
        return found


@dataclass(kw_only=True)
class _Key:
    """One packed value, while it is worked on.

    Attributes:
        end_ms: Up to where tiles are merged now.
        first_ms: As of `Rollup._sort_out`.
        added: Which small tiles are merged into tiles whose others are not here.
        waiting: Which wait for others.
        replaced: Intervals of the largest level that are made anew, by their starts.
        due: For each larger level the tiles to make, by their starts.
    """

    block: LevelBlock
    small: Records
    end_ms: int
    newest_end_ms: int
    kept_from_ms: int
    levels: list[dict[int, bytes]]
    now_ms: int
    first_ms: int = 0
    added: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    waiting: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    replaced: set[int] = field(default_factory=set)
    due: list[set[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.due = [set() for _ in self.levels]

    def replace(self, start_ms: int, sizes: Sequence[int]) -> None:
        """Forget what was merged in an interval of the largest level."""
        self.replaced.add(start_ms)
        for tiles in self.levels:
            for each in [each for each in tiles if start_ms <= each < start_ms + sizes[-1]]:
                del tiles[each]

    def ranges(self, sizes: Sequence[int]) -> TileRanges:
        """Those that stay of the ranges."""
        found = self.block.ranges
        for start_ms in self.replaced:
            found = found.without(start_ms // sizes[0], (start_ms + sizes[-1]) // sizes[0])
        return found


def _covered(start_ms: int, replaced: Iterable[int], size_ms: int) -> bool:
    return start_ms // size_ms * size_ms in replaced
