"""Packed values opened, and folded, of all views of a read at once."""

from __future__ import annotations

import numpy as np

from features.columns.record import RECORD, START
from features.columns.values import Bools, Bytes, Doubles, Int64s
from features.tiles.codec import HEAD, LENGTH
from features.tiles.level_block import HEAD as BLOCK
from features.tiles.level_block import LEVEL, OUTDATED
from features.tiles.machine.fold import fold
from features.tiles.machine.reading import int_at, length_at
from schemas.machine_code import compiled

_LEAST = -(1 << 63)
_VALUE_HEAD = HEAD.size
_NEWEST_END = 8
_LAYOUT = 16
_LENGTH = LENGTH.size
_BLOCK_HEAD = BLOCK.size
_FLAGS = 16
_LEVEL_HEAD = LEVEL.size
_OUTDATED = OUTDATED
_RECORD_HEAD = RECORD.size


@compiled()
def _in_order(data: Bytes, begin: int, end: int, width: int) -> bool:
    """Whether bytes are records of a width, in order of their start."""
    before = _LEAST
    for record in range(begin, end, width):
        start = int_at(data, record + START)
        if start < before or length_at(data, record) != width - _RECORD_HEAD:
            return False
        before = start
    return (end - begin) % width == 0


@compiled()
def _open(
    data: Bytes,
    place: int,
    sizes: Int64s,
    head: int,
    longer: Int64s,
    layout: int,
    width: int,
    kept_from: Int64s,
    merged: Int64s,
    inexact: Bools,
    begin: Int64s,
    end: Int64s,
) -> bool:
    """Find the records of packed values; False where one is damaged, or has records that are not in order of their start."""
    levels, until = begin.shape[0], place
    for value in range(sizes.shape[0]):
        if sizes[value] < 0:
            continue
        at = until + head
        for size in longer:
            at += sizes[value] >= size
        until += sizes[value]
        if until - at < _VALUE_HEAD:
            return False
        kept_from[:, value] = int_at(data, at)
        if int_at(data, at + _LAYOUT) != layout:
            kept_from[:, value] = max(kept_from[0, value], int_at(data, at + _NEWEST_END))
            continue
        at += _VALUE_HEAD
        if levels > 1:
            if until - at < _LENGTH:
                return False
            block, at = at + _LENGTH, at + _LENGTH + length_at(data, at)
            if at > until:
                return False
            if block < at:
                if at - block < _BLOCK_HEAD:
                    return False
                merged[value], inexact[value] = int_at(data, block), data[block + _FLAGS] & _OUTDATED != 0
                block += _BLOCK_HEAD
                for level in range(1, levels):
                    if at - block < _LEVEL_HEAD:
                        return False
                    kept_from[level, value] = int_at(data, block)
                    begin[level, value] = block + _LEVEL_HEAD
                    block += _LEVEL_HEAD + length_at(data, block + _LEVEL_HEAD - _LENGTH)
                    end[level, value] = block
                    if block > at or not _in_order(data, begin[level, value], block, width):
                        return False
        if not _in_order(data, at, until, width):
            return False
        while levels > 1 and at < until and int_at(data, at + START) < kept_from[0, value]:
            at += width  # a stray: see `TileCodec.unpack`
        begin[0, value], end[0, value] = at, until
    return True


@compiled()
def fold_packed(
    data: Bytes,
    sizes: Int64s,
    head: int,
    longer: Int64s,
    firsts: Int64s,
    owners: Int64s,
    boundaries: Int64s,
    layouts: Int64s,
    parts: Int64s,
    levels: Int64s,
    shapes: Int64s,
    windows: Int64s,
    spans: Int64s,
    merges: Int64s,
    finishes: Int64s,
    told: Int64s,
    flags: Bools,
    out: Int64s,
    out_doubles: Doubles,
    valid: Bools,
) -> bool:
    """Open packed values of some views, and write what rows have of them; False where one is damaged, or has records out of order.

    Args:
        data: uint8, read-only: all values, those of a view after those of the one before.
        sizes: int64[values], of each; −1 of none.
        head: Of `Enveloped`, and so the next.
        longer: int64.
        firsts: int64[views + 1], which value is the first of each view, and how many there are.
        owners: int64[views, rows], the value of each among its view's; −1 for none.
        boundaries: int64[views, rows], the end of its windows.
        layouts: int64[views], of the views' codecs, as numbers.
        parts: int64[views + 1, 5], where in the following arrays each view's part begins: in `levels`, `windows`, `spans`, `merges`, `finishes`.
        levels: Of the views' `Program`s, one after the other, and so the next.
        shapes: int64[views, 2].
        windows: int64[windows, 3].
        spans: int64[spans, 2].
        merges: int64[merges, 13].
        finishes: int64[features, 5].
        told: int64[3, views, rows], becomes the tiles of each view's first window, from when on windows need tiles, from when on small ones.
        flags: bool[3, views, rows], becomes whether there is no value, whether tiles are lacking, whether small ones.
        out: int64[features, rows], becomes the values of all views.
        out_doubles: The same memory, as float64.
        valid: bool[features, rows], becomes which values are there.
    """
    rows, place = owners.shape[1], 0
    for view in range(owners.shape[0]):
        own = sizes[firsts[view] : firsts[view + 1]]
        part, following = parts[view], parts[view + 1]
        sized, values = levels[part[0] : following[0]], own.shape[0]
        count, at, shape = sized.shape[0], part[4], shapes[view]
        kept_from, merged = np.full((count, values), _LEAST, np.int64), np.full(values, _LEAST, np.int64)
        begin, end, inexact = np.zeros((count, values), np.int64), np.zeros((count, values), np.int64), np.zeros(values, np.bool_)
        if not _open(data, place, own, head, longer, layouts[view], shape[0], kept_from, merged, inexact, begin, end):
            return False
        needed = np.empty((count, rows), np.int64)
        fold(
            data,
            begin,
            end,
            merged,
            owners[view],
            boundaries[view],
            sized,
            shape,
            windows[part[1] : following[1]],
            spans[part[2] : following[2]],
            merges[part[3] : following[3]],
            finishes[part[4] : following[4]],
            told[0, view],
            needed,
            out[at:],
            out_doubles[at:],
            valid[at:],
        )
        for row in range(rows):
            value = owners[view, row]
            told[1, view, row], told[2, view, row] = needed[:, row].min(), needed[0, row]
            flags[0, view, row] = value < 0 or own[value] < 0
            flags[1, view, row], flags[2, view, row] = False, False
            if value >= 0:
                flags[1, view, row], flags[2, view, row] = inexact[value], needed[0, row] < kept_from[0, value]
                for level in range(count):
                    flags[1, view, row] |= needed[level, row] < kept_from[level, value]
        for value in range(values):
            place += max(own[value], 0)
    return True
