"""Which records a window has, level by level, as `features.levels` says."""

from __future__ import annotations

from features.columns.values import Bytes, Int64s
from features.tiles.machine.reading import place_from
from schemas.machine_code import compiled

_MOST = (1 << 63) - 1


@compiled()
def _segments(levels: Int64s, count: int, merged: int, tails: Int64s, heads: Int64s) -> None:
    """As `features.levels.segments`: where each level's tail begins and its head ends, of a window from `tails[0]` to `heads[0]`."""
    for level in range(1, count):
        size, until = levels[level], heads[level - 1]
        if level == 1:
            until = min(until, max(merged, tails[0]))
        tail, head = -(-tails[level - 1] // size) * size, until // size * size
        if tail > head:
            tail = head = heads[level - 1]
        tails[level], heads[level] = tail, head


@compiled()
def _unmerged(levels: Int64s, tails: Int64s, heads: Int64s, within: Int64s) -> None:
    """Of each larger level what a window takes of it that is still in tiles of the level below: from, to.

    Args:
        levels: Sizes.
        tails: Of `_segments`, up to where tiles are merged.
        heads: The same.
        within: int64[levels, 2], becomes what is found; of the smallest level nothing is told.
    """
    until, tail = heads[0], tails[0]
    for level in range(1, levels.shape[0]):
        tail, until = -(-tail // levels[level]) * levels[level], until // levels[level] * levels[level]
        within[level, 0] = heads[level] if tails[level] < heads[level] else tail
        within[level, 1] = max(until, within[level, 0])


@compiled()
def find(
    data: Bytes,
    begin: Int64s,
    end: Int64s,
    entity: int,
    window: Int64s,
    spans: Int64s,
    levels: Int64s,
    merged: int,
    width: int,
    row: int,
    tails: Int64s,
    heads: Int64s,
    needed: Int64s,
    found: Int64s,
    within: Int64s,
) -> int:
    """Write where the records of a window that ends at `heads[0]` begin and end, piece by piece in order of time; returns how many they are.

    Of entity −1 none. Notes from when on a window by itself needs tiles of each level, and what of it is yet to be merged (`_unmerged`).
    """
    count = begin.shape[0]
    top, total = count - 1, 0
    tails[0] = _MOST
    for span in range(window[0], window[1]):
        tails[0] = min(tails[0], (heads[0] - spans[span, 0]) // spans[span, 1] * spans[span, 1])
    _segments(levels, count, merged, tails, heads)
    _unmerged(levels, tails, heads, within)
    for piece in range(2 * count - 1):
        level = piece if piece <= top else 2 * top - piece
        since = tails[level] if piece <= top else heads[level + 1]
        until = tails[level + 1] if piece < top else heads[level]
        found[piece] = 0
        if since < until:
            if window[1] - window[0] == 1:
                needed[level, row] = min(needed[level, row], since)
            if entity >= 0:
                low, high = begin[level, entity], end[level, entity]
                found[piece, 0] = place_from(data, low, high, width, since)
                found[piece, 1] = place_from(data, found[piece, 0], high, width, until)
                total += (found[piece, 1] - found[piece, 0]) // width
    return total
