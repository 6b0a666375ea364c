"""Trees walked as machine code: eight at a time for each row, without branches, added in their order. Equal to LightGBM in every bit.

Its import takes numba's second, and compiles what is kept nowhere: `inference.boosters.flat` and `compiled` import it when a model is loaded.
Node numbers are unsigned, or numba would test each for a Python index from the end.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inference.boosters.flat import CATEGORY, IS_NAN, IS_ZERO, NAN_LEFT, PLAIN, ZERO_LEFT, ZERO_RIGHT
from inference.boosters.trees import EXPONENTIAL, LOGISTIC_INTENSITY, SAME, SIGMOID, SOFTMAX
from schemas.machine_code import compiled

_TINY = float(np.float32(1e-35))  # kZeroThreshold: up to it, a value is zero
_ROWS = 128  # whose columns stay near while all trees are walked
_LANES = 8
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFF_FFFF)
_ONE = np.uint64(1)
_STEPS = 3  # between two looks whether all eight are at a leaf

_Floats = NDArray[np.float64]
_Wholes = NDArray[np.int64]
_Nodes = NDArray[np.uint64]


@compiled("b1(i8[::1], i8[::1], i8[::1], i8[::1], f8[::1], f8[::1], f8[::1], u8[::1], f8[::1], i8[::1])")
def lay_out(
    leaves: _Wholes,
    left: _Wholes,
    right: _Wholes,
    column: _Wholes,
    split_threshold: _Floats,
    leaf_value: _Floats,
    threshold: _Floats,
    link: _Nodes,
    value: _Floats,
    root: _Wholes,
) -> bool:
    """Write the nodes of all trees; the first node is a leaf of none, whose value is 0. False where children are no tree.

    Args:
        leaves: int64[trees].
        left: int64[splits], the child's number among its tree's splits; of a leaf, the complement of its number.
        right: int64[splits].
        column: int64[splits].
        split_threshold: float64[splits].
        leaf_value: float64[leaves of all].
        threshold: Filled, as of `FlatTrees`, and so the next.
        link: uint64[nodes].
        value: float64[nodes].
        root: int64[trees].
    """
    link[0], threshold[0], value[0] = 0, np.inf, 0.0
    from_ = np.empty(2 * leaves.max() - 1, dtype=np.int64)
    base, split, leaf = 1, 0, 0
    for tree in range(len(leaves)):
        count = leaves[tree]
        from_[0] = 0 if count > 1 else ~0
        at, end = 0, 1
        while at < end:
            node = from_[at]
            if node < 0:
                if ~node >= count:
                    return False
                threshold[base + at], value[base + at] = np.inf, leaf_value[leaf + ~node]
                link[base + at] = np.uint64(base + at) << _HALF
            else:
                if node >= count - 1 or end + 2 > 2 * count - 1:
                    return False
                threshold[base + at], value[base + at] = split_threshold[split + node], 0.0
                link[base + at] = (np.uint64(base + end) << _HALF) | np.uint64(column[split + node])
                from_[end], from_[end + 1] = left[split + node], right[split + node]
                end += 2
            at += 1
        root[tree] = base
        base, split, leaf = base + end, split + count - 1, leaf + count
    return True


@compiled()
def _seen(value: float, kind: int) -> float:
    """A value as a split of that kind sees it."""
    if kind == CATEGORY:
        return float(int(value)) if -1.0 < value < 2147483648.0 else -1.0
    if kind in (IS_NAN, IS_ZERO):
        return 1.0 if value != value or (kind == IS_ZERO and abs(value) <= _TINY) else 0.0
    if value != value:
        if kind == PLAIN:
            return 0.0
        return -np.inf if kind in (NAN_LEFT, ZERO_LEFT) else np.inf
    if abs(value) <= _TINY:
        if kind == ZERO_LEFT:
            return -np.inf
        return np.inf if kind == ZERO_RIGHT else 0.0
    return value


@compiled()
def _step(link: _Nodes, threshold: _Floats, values: _Floats, begin: np.uint64, at: np.uint64) -> np.uint64:
    """The child of a split of numbers."""
    joined = link[at]
    return np.uint64((joined >> _HALF) + np.uint64(values[begin + (joined & _LOW)] > threshold[at]))


@compiled()
def _any_step(
    link: _Nodes,
    threshold: _Floats,
    values: _Floats,
    begin: np.uint64,
    at: np.uint64,
    first_category: np.uint64,
    set_begin: _Wholes,
    set_end: _Wholes,
    words: NDArray[np.uint32],
) -> np.uint64:
    """The child of a split of either sort."""
    joined = link[at]
    column = joined & _LOW
    value = values[begin + column]
    if column < first_category or (joined >> _HALF) == at:
        return np.uint64((joined >> _HALF) + np.uint64(value > threshold[at]))
    chosen = np.uint64(threshold[at])
    if value >= 0:
        number = np.int64(value)
        word = set_begin[chosen] + (number >> 5)
        if word < set_end[chosen] and (words[np.uint64(word)] >> np.uint32(number & 31)) & np.uint32(1):
            return np.uint64(joined >> _HALF)
    return np.uint64((joined >> _HALF) + _ONE)


@compiled(
    "void(f8[:, ::1], i8[::1], i8[::1], i8, f8[::1], u8[::1], f8[::1], i8[::1], b1[::1], i8[::1], i8[::1], u4[::1], i8, i8, f8[:, ::1])"
)
def add_trees(
    matrix: _Floats,
    source: _Wholes,
    kind: _Wholes,
    first_category: int,
    threshold: _Floats,
    link: _Nodes,
    value: _Floats,
    root: _Wholes,
    categorical: NDArray[np.bool_],
    set_begin: _Wholes,
    set_end: _Wholes,
    words: NDArray[np.uint32],
    first: int,
    end: int,
    total: _Floats,
) -> None:
    """Add the leaves of trees `[first, end)`, in their order.

    Args:
        matrix: float64[rows, features].
        source: Of `FlatTrees`, and so the next.
        kind: int64[columns].
        first_category: Among the columns.
        threshold: float64[nodes].
        link: uint64[nodes].
        value: float64[nodes].
        root: int64[trees].
        categorical: bool[trees].
        set_begin: int64[sets].
        set_end: int64[sets].
        words: uint32[words].
        first: A tree of the first output.
        end: The tree after the last.
        total: float64[rows, outputs], which must not be −0.
    """
    rows, outputs, columns = len(matrix), total.shape[1], np.uint64(len(source))
    values = np.empty(max(1, min(rows, _ROWS) * len(source)))  # a leaf looks at the first, whatever it is
    category = np.uint64(first_category)
    roots, outs = np.zeros(_LANES, dtype=np.uint64), np.zeros(_LANES, dtype=np.int64)
    for start in range(0, rows, _ROWS):
        stop = min(rows, start + _ROWS)
        put = np.uint64(0)
        for row in range(start, stop):
            for column in range(len(source)):
                values[put] = _seen(matrix[row, source[column]], kind[column])
                put += _ONE
        for group in range(first, end, _LANES):
            any_categorical = False
            for lane in range(_LANES):
                there = group + lane < end
                roots[lane] = root[group + lane] if there else 0
                outs[lane] = (group + lane) % outputs
                any_categorical |= there and categorical[group + lane]
            for row in range(start, stop):
                begin = np.uint64(row - start) * columns
                a, b, c, d = roots[0], roots[1], roots[2], roots[3]
                e, f, g, h = roots[4], roots[5], roots[6], roots[7]
                walking = True
                while walking:
                    if any_categorical:
                        a = _any_step(link, threshold, values, begin, a, category, set_begin, set_end, words)
                        b = _any_step(link, threshold, values, begin, b, category, set_begin, set_end, words)
                        c = _any_step(link, threshold, values, begin, c, category, set_begin, set_end, words)
                        d = _any_step(link, threshold, values, begin, d, category, set_begin, set_end, words)
                        e = _any_step(link, threshold, values, begin, e, category, set_begin, set_end, words)
                        f = _any_step(link, threshold, values, begin, f, category, set_begin, set_end, words)
                        g = _any_step(link, threshold, values, begin, g, category, set_begin, set_end, words)
                        h = _any_step(link, threshold, values, begin, h, category, set_begin, set_end, words)
                    else:
                        for _ in range(_STEPS):
                            a = _step(link, threshold, values, begin, a)
                            b = _step(link, threshold, values, begin, b)
                            c = _step(link, threshold, values, begin, c)
                            d = _step(link, threshold, values, begin, d)
                            e = _step(link, threshold, values, begin, e)
                            f = _step(link, threshold, values, begin, f)
                            g = _step(link, threshold, values, begin, g)
                            h = _step(link, threshold, values, begin, h)
                    # A child lies behind its split: the sums are equal when no lane would move any more.
                    here = a + b + c + d + e + f + g + h
                    there_ = (link[a] >> _HALF) + (link[b] >> _HALF) + (link[c] >> _HALF) + (link[d] >> _HALF)
                    there_ += (link[e] >> _HALF) + (link[f] >> _HALF) + (link[g] >> _HALF) + (link[h] >> _HALF)
                    walking = here != there_
                if outputs == 1:
                    sum_ = total[row, 0] + value[a] + value[b] + value[c] + value[d]
                    total[row, 0] = sum_ + value[e] + value[f] + value[g] + value[h]
                else:
                    total[row, outs[0]] += value[a]
                    total[row, outs[1]] += value[b]
                    total[row, outs[2]] += value[c]
                    total[row, outs[3]] += value[d]
                    total[row, outs[4]] += value[e]
                    total[row, outs[5]] += value[f]
                    total[row, outs[6]] += value[g]
                    total[row, outs[7]] += value[h]


@compiled("void(f8[:, ::1], i8, f8, f8)")
def convert(raw: _Floats, transform: int, steepness: float, average_over: float) -> None:
    """Make scores of sums, in place, as ConvertOutput of each objective does: exp and log1p are the C library's, one by one.

    Args:
        raw: float64[rows, outputs].
        transform: Which of those of `inference.boosters.trees`.
        steepness: Of the sigmoid.
        average_over: What the sum is divided by first.
    """
    rows, outputs = raw.shape
    for row in range(rows):
        for output in range(outputs):
            raw[row, output] /= average_over
        if transform == SOFTMAX:
            highest = raw[row, 0]
            for output in range(1, outputs):
                highest = raw[row, output] if highest < raw[row, output] else highest
            whole = 0.0
            for output in range(outputs):
                raw[row, output] = math.exp(raw[row, output] - highest)
                whole += raw[row, output]
            for output in range(outputs):
                raw[row, output] /= whole
        elif transform != SAME:
            for output in range(outputs):
                sum_ = raw[row, output]
                if transform == SIGMOID:
                    sum_ = 1.0 / (1.0 + math.exp(-steepness * sum_))
                elif transform == EXPONENTIAL:
                    sum_ = math.exp(sum_)
                elif transform == LOGISTIC_INTENSITY:
                    sum_ = math.log1p(math.exp(sum_))
                else:
                    sum_ = (1.0 if sum_ > 0 else -1.0 if sum_ < 0 else 0.0) * sum_ * sum_
                raw[row, output] = sum_
