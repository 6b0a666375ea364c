"""Adds doubles in numpy's order, and finds the least and the largest as numpy does."""

from __future__ import annotations

import numpy as np

from features.columns.values import Doubles
from schemas.machine_code import compiled

_PAIRWISE = 128
_DEPTH = 64


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
def smallest(numbers: Doubles, many: int) -> float:
    """As `np.fmin`."""
    found = np.nan
    for place in range(many):
        if found != found or numbers[place] < found:
            found = numbers[place]
    return found


@compiled()
def largest(numbers: Doubles, many: int) -> float:
    """As `np.maximum`."""
    found = -np.inf
    for place in range(many):
        if found == found and not numbers[place] <= found:
            found = numbers[place]
    return found
