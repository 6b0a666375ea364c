"""The kernel as machine code: packed values of tiles in, window values out, nothing copied or made for a tile or a row in between.

What it does is what `fold_in_numpy` does for the same values (`features.tiles.packed_fold`), equal in every bit: doubles are added in numpy's order. It knows no
class of ours, only the numbers of a `Program`. Importing it takes numba's second, and compiles nothing. It is one module, see `schemas.machine_code`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.columns.record import RECORD
from features.columns.values import Bools, Int64s
from features.partials.opcodes import FinishCode, MergeCode
from features.partials.program import Kind
from features.tiles.codec import HEAD, LENGTH
from features.tiles.level_block import HEAD as BLOCK
from features.tiles.level_block import LEVEL, OUTDATED
from schemas.machine_code import compiled, load_numba

Bytes = NDArray[np.uint8]
Doubles = NDArray[np.float64]

_TOTAL, _SMALLEST, _LARGEST = int(MergeCode.TOTAL), int(MergeCode.SMALLEST), int(MergeCode.LARGEST)
_FIRST, _LAST, _MOMENTS = int(MergeCode.FIRST), int(MergeCode.LAST), int(MergeCode.MOMENTS)
_VALUE, _RATIO, _VARIANCE = int(FinishCode.VALUE), int(FinishCode.RATIO), int(FinishCode.VARIANCE)
_INT, _DOUBLE, _BYTE = int(Kind.INT), int(Kind.DOUBLE), int(Kind.BYTE)
_CELLS = 5  # where in a merge its columns are
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_PAIRWISE, _DEPTH = 128, 64  # of numpy's sums
_VALUE_HEAD, _NEWEST_END, _LAYOUT = HEAD.size, 8, 16
_LENGTH, _BLOCK_HEAD, _FLAGS, _LEVEL_HEAD, _OUTDATED = LENGTH.size, BLOCK.size, 16, LEVEL.size, OUTDATED
_RECORD_HEAD, _START = RECORD.size, 4


def _loader(kind: str) -> Any:
    """Reads a number of numba's kind at a place of bytes, aligned or not."""
    result = getattr(load_numba(), kind)
    from numba.extending import intrinsic

    def load(typing: Any, data: Any, place: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            address = builder.gep(array.data, [arguments[1]])
            return builder.load(builder.bitcast(address, context.get_value_type(result).as_pointer()), align=1)

        return result(data, place), code

    return intrinsic(load)


_int_at, _length_at, _double_at = _loader("int64"), _loader("uint32"), _loader("float64")


@compiled()
def _place_from(data: Bytes, low: int, high: int, width: int, time_ms: int) -> int:
    """Where, among the records in `[low, high)`, the first is that starts at a time or later."""
    first, many = 0, (high - low) // width
    while first < many:
        middle = (first + many) // 2
        if _int_at(data, low + middle * width + _START) < time_ms:
            first = middle + 1
        else:
            many = middle
    return low + first * width


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
def _find(
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
                found[piece, 0] = _place_from(data, low, high, width, since)
                found[piece, 1] = _place_from(data, found[piece, 0], high, width, until)
                total += (found[piece, 1] - found[piece, 0]) // width
    return total


@compiled()
def _is_null(data: Bytes, place: int, nulls: int, bit: int) -> bool:
    return bool((data[place + nulls + (bit >> 3)] >> (bit & 7)) & 1)


@compiled()
def _doubles(data: Bytes, places: Int64s, width: int, nulls: int, cell: int, bit: int, empty: float, into: Doubles) -> bool:
    """Copy a column of doubles; returns whether one is there."""
    some, number = False, 0
    for piece in range(places.shape[0]):
        for place in range(places[piece, 0], places[piece, 1], width):
            into[number] = empty
            if not _is_null(data, place, nulls, bit):
                into[number] = _double_at(data, place + cell)
                some = True
            number += 1
    return some


@compiled()
def _whole(data: Bytes, place: int, kind: int) -> int:
    return int(_int_at(data, place)) if kind == _INT else int(data[place])


@compiled()
def _wholes(data: Bytes, places: Int64s, width: int, nulls: int, cell: int, bit: int, kind: int, empty: int, into: Int64s) -> bool:
    """Copy a column of integers or of bytes; returns whether one is there."""
    some, number = False, 0
    for piece in range(places.shape[0]):
        for place in range(places[piece, 0], places[piece, 1], width):
            into[number] = empty
            if not _is_null(data, place, nulls, bit):
                into[number] = _whole(data, place + cell, kind)
                some = True
            number += 1
    return some


@compiled()
def _block(numbers: Doubles, low: int, many: int) -> float:
    """The sum of so few doubles that numpy does not halve them: in eight sums, which are added in pairs, and then what is left."""
    total, place, end = -0.0, low, low + many
    if many >= 8:
        a, b, c, d = numbers[low], numbers[low + 1], numbers[low + 2], numbers[low + 3]
        e, f, g, h = numbers[low + 4], numbers[low + 5], numbers[low + 6], numbers[low + 7]
        place += 8
        while place + 8 <= end:
            a += numbers[place]
            b += numbers[place + 1]
            c += numbers[place + 2]
            d += numbers[place + 3]
            e += numbers[place + 4]
            f += numbers[place + 5]
            g += numbers[place + 6]
            h += numbers[place + 7]
            place += 8
        total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    while place < end:
        total += numbers[place]
        place += 1
    return total


@compiled()
def add(numbers: Doubles, low: int, many: int) -> float:
    """The sum of `many` from `low` on, as `np.add.reduceat` has it: the first, and the sum of the others, which are halved until they are few.

    That is numpy's `pairwise_sum`, without recursion, which numba cannot keep.
    """
    if many < 2:
        return float(numbers[low]) if many == 1 else 0.0
    if many <= _PAIRWISE:
        return float(numbers[low] + _block(numbers, low + 1, many - 1))
    begins, sizes, sums = np.empty(_DEPTH, np.int64), np.empty(_DEPTH, np.int64), np.empty(_DEPTH)  # of halves of halves
    is_second = np.zeros(_DEPTH, np.bool_)
    depth, begins[0], sizes[0] = 0, low + 1, many - 1
    while True:
        while sizes[depth] > _PAIRWISE:
            half = sizes[depth] // 2
            begins[depth + 1], sizes[depth + 1] = begins[depth], half - half % 8
            depth += 1
            is_second[depth] = False
        total = _block(numbers, begins[depth], sizes[depth])
        while is_second[depth]:
            depth -= 1
            total = sums[depth] + total
        if depth == 0:
            return float(numbers[low] + total)
        sums[depth - 1], is_second[depth] = total, True
        begins[depth] += sizes[depth]
        sizes[depth] = sizes[depth - 1] - sizes[depth]


@compiled()
def _compare(data: Bytes, one: int, other: int, kind: int) -> int:
    """−1, 0 or 1, as one value is less than the other, the same or more; NaN is the largest."""
    if kind == _DOUBLE:
        a, b = _double_at(data, one), _double_at(data, other)
        if a < b or (a == a and b != b):
            return -1
        return 1 if a > b or (a != a and b == b) else 0
    x, y = _whole(data, one, kind), _whole(data, other, kind)
    return -1 if x < y else 1 if x > y else 0


@compiled()
def _edge(data: Bytes, places: Int64s, width: int, nulls: int, merge: Int64s) -> int:
    """The place of the record with the smallest or the largest (time, tie with null smallest, value); −1 of none."""
    best, tied = -1, merge[3] >= 0
    time, tie, tie_bit, value = merge[_CELLS], merge[_CELLS + 2], merge[_CELLS + 3], merge[_CELLS + (4 if tied else 2)]
    for piece in range(places.shape[0]):
        for place in range(places[piece, 0], places[piece, 1], width):
            if _is_null(data, place, nulls, merge[_CELLS + 1]):
                continue
            order = -1 if merge[0] == _FIRST else 1
            if best >= 0:
                order = _compare(data, place + time, best + time, _INT)
                if order == 0 and tied:
                    none, best_none = _is_null(data, place, nulls, tie_bit), _is_null(data, best, nulls, tie_bit)
                    if none != best_none:
                        order = -1 if none else 1
                    elif not none:
                        order = _compare(data, place + tie, best + tie, merge[3])
                if order == 0:
                    order = _compare(data, place + value, best + value, merge[2])
            if (order < 0) if merge[0] == _FIRST else (order >= 0):
                best = place
    return best


@compiled()
def _moments(low: int, many: int, condensed: bool, counts: Int64s, work: Doubles) -> tuple[int, float, float, float]:
    """Count, pivot, Σ(x − pivot) and Σ(x − pivot)², as `MomentsPartial.merge` has them, of `many` from `low` on.

    Of counts and of `work[0..2]`: pivots, s1, s2; the rest is overwritten.
    """
    pivot, s1, s2, first, second = work[0], work[1], work[2], work[3], work[4]
    total, base, based = 0, 0.0, False
    for tile in range(low, low + many):
        total += counts[tile]
        if counts[tile] <= 0:
            pivot[tile], s1[tile], s2[tile] = 0.0, 0.0, 0.0
        elif not based:
            base, based = pivot[tile], True
    again = condensed
    while True:
        for tile in range(low, low + many):
            shift = pivot[tile] - base if counts[tile] > 0 else 0.0
            first[tile] = s1[tile] + counts[tile] * shift
            second[tile] = s2[tile] + 2 * shift * s1[tile] + counts[tile] * shift * shift
        about = add(first, low, many)
        if not again:
            return total, base, about, add(second, low, many)
        mean = base + about / max(total, 1)
        base = mean if np.isfinite(mean) else base
        again = False


@compiled()
def _starts(data: Bytes, places: Int64s, width: int, starts: Int64s) -> None:
    """When the tiles of a window start."""
    number = 0
    for piece in range(places.shape[0]):
        for place in range(places[piece, 0], places[piece, 1], width):
            starts[number] = _int_at(data, place + _START)
            number += 1


@compiled()
def _merge_doubles(of_moments: bool, many: int, levels: Int64s, within: Int64s, starts: Int64s, counts: Int64s, work: Doubles) -> int:
    """Merge what is closed and not merged in the store yet, level by level, as `features.kernel.larger` does: doubles are added in the same groups wherever.

    Args:
        of_moments: Whether it is `counts` and `work[0..2]` that are merged, or `work[0]` alone.
        many: How many tiles there are.
        levels: Sizes.
        within: Of `_unmerged`.
        starts: When the tiles start; overwritten, as the numbers are.
        counts: Of moments.
        work: The doubles.

    Returns:
        How many are left.
    """
    for level in range(1, levels.shape[0]):
        since, until, size = within[level, 0], within[level, 1], levels[level]
        if since >= until:
            continue
        place = 0
        while place < many and starts[place] < since:
            place += 1
        left = place
        while place < many:
            begin, start = place, starts[place]
            if start >= until:
                if of_moments:
                    counts[left], work[1, left], work[2, left] = counts[place], work[1, place], work[2, place]
                starts[left], work[0, left] = start, work[0, place]
                place += 1
            else:
                start = start // size * size
                while place < many and starts[place] < start + size:
                    place += 1
                if of_moments:
                    counts[left], work[0, left], work[1, left], work[2, left] = _moments(begin, place - begin, True, counts, work)
                else:
                    work[0, left] = add(work[0], begin, place - begin)
                starts[left] = start
            left += 1
        many = left
    return many


@compiled()
def _smallest(numbers: Doubles, many: int) -> float:
    """As `np.fmin`."""
    found = np.nan
    for place in range(many):
        if found != found or numbers[place] < found:
            found = numbers[place]
    return found


@compiled()
def _largest(numbers: Doubles, many: int) -> float:
    """As `np.maximum`."""
    found = -np.inf
    for place in range(many):
        if found == found and not numbers[place] <= found:
            found = numbers[place]
    return found


@compiled()
def _merge(
    data: Bytes,
    places: Int64s,
    many: int,
    shape: Int64s,
    merge: Int64s,
    at: int,
    levels: Int64s,
    within: Int64s,
    starts: Int64s,
    numbers: Int64s,
    work: Doubles,
    wholes: Int64s,
    doubles: Doubles,
    there: Bools,
) -> None:
    """Merge a partial over a window, into place `at` of the results."""
    width, nulls, code, kind = shape[0], shape[1], merge[0], merge[2]
    if code in (_FIRST, _LAST):
        best, value = _edge(data, places, width, nulls, merge), merge[_CELLS + (2 if merge[3] < 0 else 4)]
        there[at] = best >= 0 and not _is_null(data, best, nulls, merge[_CELLS + (3 if merge[3] < 0 else 5)])
        if there[at] and kind == _DOUBLE:
            doubles[at, 0] = _double_at(data, best + value)
        elif there[at]:
            wholes[at] = _whole(data, best + value, kind)
        return
    some, of_moments = False, code == _MOMENTS
    double_empty = np.nan if code == _SMALLEST else -np.inf if code == _LARGEST else 0.0
    whole_empty = _MOST if code == _SMALLEST else _LEAST if code == _LARGEST else 0
    for column in range(4 if of_moments else 1):
        cell, bit = merge[_CELLS + 2 * column], merge[_CELLS + 2 * column + 1]
        if kind == _DOUBLE and not (of_moments and column == 0):
            some = _doubles(data, places, width, nulls, cell, bit, double_empty, work[max(column - 1, 0)])
        else:
            some = _wholes(data, places, width, nulls, cell, bit, _INT if of_moments else kind, whole_empty, numbers)
    there[at] = some or code == _TOTAL
    if levels.shape[0] > 1 and (of_moments or (code == _TOTAL and kind == _DOUBLE)):
        _starts(data, places, width, starts)
        many = _merge_doubles(of_moments, many, levels, within, starts, numbers, work)
    if of_moments:
        wholes[at], _, doubles[at, 0], doubles[at, 1] = _moments(0, many, merge[4] != 0, numbers, work)
    elif kind == _DOUBLE:
        if code == _TOTAL:
            doubles[at, 0] = add(work[0], 0, many)
        else:
            doubles[at, 0] = _smallest(work[0], many) if code == _SMALLEST else _largest(work[0], many)
    else:
        result = whole_empty
        for place in range(many):
            if code == _TOTAL:
                result += numbers[place]
            else:
                result = min(result, numbers[place]) if code == _SMALLEST else max(result, numbers[place])
        wholes[at] = result


@compiled()
def _spread(count: int, s1: float, s2: float) -> float:
    """As `Moments.squares`."""
    centred = s2 - s1 * s1 / max(count, 1)
    if centred < 0.0:
        centred = 0.0
    return np.inf if not np.isfinite(centred) and s1 == s1 else centred


@compiled()
def fold(
    data: Bytes,
    begin: Int64s,
    end: Int64s,
    merged: Int64s,
    owner: Int64s,
    boundary: Int64s,
    levels: Int64s,
    shape: Int64s,
    windows: Int64s,
    spans: Int64s,
    merges: Int64s,
    finishes: Int64s,
    counts: Int64s,
    needed: Int64s,
    out: Int64s,
    out_doubles: Doubles,
    valid: Bools,
) -> None:
    """Write the value of every feature for every row.

    Args:
        data: Of `RecordTiles`, and so the next.
        begin: int64[levels, entities].
        end: int64[levels, entities].
        merged: int64[entities].
        owner: int64[rows], the entity of each; −1 for none.
        boundary: int64[rows], the end of its windows.
        levels: Of the view's `Program`, and so the next.
        shape: int64[2].
        windows: int64[windows, 3].
        spans: int64[spans, 2].
        merges: int64[merges, 13].
        finishes: int64[features, 5].
        counts: int64[rows], becomes how many records the first window has.
        needed: int64[levels, rows], becomes from when on windows need tiles of each level, as `features.kernel.needed` says.
        out: int64[features, rows], becomes the values; 0 where null.
        out_doubles: The same memory, as float64.
        valid: bool[features, rows], becomes whether each is there.
    """
    most = 0
    for entity in range(begin.shape[1]):
        own = 0
        for level in range(begin.shape[0]):
            own += (end[level, entity] - begin[level, entity]) // shape[0]
        most = max(most, own)
    numbers, starts, work = np.empty(most, np.int64), np.empty(most, np.int64), np.empty((5, most))
    tails, heads = np.empty(begin.shape[0], np.int64), np.empty(begin.shape[0], np.int64)
    places, many = np.empty((windows.shape[0], 2 * begin.shape[0] - 1, 2), np.int64), np.empty(windows.shape[0], np.int64)
    within = np.empty((windows.shape[0], begin.shape[0], 2), np.int64)
    wholes, doubles = np.zeros(merges.shape[0], np.int64), np.zeros((merges.shape[0], 2))
    there = np.empty(merges.shape[0], np.bool_)
    first = _LEAST + windows[:, 2].max()  # a window that ends earlier would begin before all numbers
    for row in range(owner.shape[0]):
        entity = owner[row]
        until = merged[entity] if entity >= 0 else _LEAST
        heads[0] = max(boundary[row], first)
        needed[:, row] = _MOST
        needed[0, row] = heads[0]
        for window in range(windows.shape[0]):
            many[window] = _find(
                data,
                begin,
                end,
                entity,
                windows[window],
                spans,
                levels,
                until,
                shape[0],
                row,
                tails,
                heads,
                needed,
                places[window],
                within[window],
            )
        counts[row] = many[0]
        for at in range(merges.shape[0]):
            window = merges[at, 1]
            _merge(
                data,
                places[window],
                many[window],
                shape,
                merges[at],
                at,
                levels,
                within[window],
                starts,
                numbers,
                work,
                wholes,
                doubles,
                there,
            )
        for feature in range(finishes.shape[0]):
            code, at, kind, result = finishes[feature, 0], finishes[feature, 1], finishes[feature, 3], finishes[feature, 4]
            double = doubles[at, 0] if kind == _DOUBLE else float(wholes[at])
            known = there[at]
            if code == _RATIO:
                count = wholes[finishes[feature, 2]]
                known, double = count > 0, double / max(count, 1)
            elif code != _VALUE:
                known, double = wholes[at] > 1, _spread(wholes[at], doubles[at, 0], doubles[at, 1]) / max(wholes[at] - 1, 1)
                double = double if code == _VARIANCE else np.sqrt(double)
            valid[feature, row] = known
            if known and result == _DOUBLE:
                out_doubles[feature, row] = double + 0.0
            else:
                out[feature, row] = 0 if not known else wholes[at] != 0 if result == _BYTE else wholes[at]


@compiled()
def _in_order(data: Bytes, begin: int, end: int, width: int) -> bool:
    """Whether bytes are records of a width, in order of their start."""
    before = _LEAST
    for record in range(begin, end, width):
        start = _int_at(data, record + _START)
        if start < before or _length_at(data, record) != width - _RECORD_HEAD:
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
        kept_from[:, value] = _int_at(data, at)
        if _int_at(data, at + _LAYOUT) != layout:
            kept_from[:, value] = max(kept_from[0, value], _int_at(data, at + _NEWEST_END))
            continue
        at += _VALUE_HEAD
        if levels > 1:
            if until - at < _LENGTH:
                return False
            block, at = at + _LENGTH, at + _LENGTH + _length_at(data, at)
            if at > until:
                return False
            if block < at:
                if at - block < _BLOCK_HEAD:
                    return False
                merged[value], inexact[value] = _int_at(data, block), data[block + _FLAGS] & _OUTDATED != 0
                block += _BLOCK_HEAD
                for level in range(1, levels):
                    if at - block < _LEVEL_HEAD:
                        return False
                    kept_from[level, value] = _int_at(data, block)
                    begin[level, value] = block + _LEVEL_HEAD
                    block += _LEVEL_HEAD + _length_at(data, block + _LEVEL_HEAD - _LENGTH)
                    end[level, value] = block
                    if block > at or not _in_order(data, begin[level, value], block, width):
                        return False
        if not _in_order(data, at, until, width):
            return False
        while levels > 1 and at < until and _int_at(data, at + _START) < kept_from[0, value]:
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
