"""HyperLogLog: the number of distinct values from how many registers hold each rank.

The estimator is the improved raw one of Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), section 4: one
formula over the whole range, without tables or switches. Its standard error is 1.04 / √4096 = 1.63 %.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from features.columns.values import Int64s

REGISTERS = 1 << 12
LARGEST_RANK = 64 - 12 + 1

_ALPHA = 1 / (2 * math.log(2))


def estimate(histogram: Int64s) -> Int64s:
    """The estimates, rounded to the nearest integer.

    Args:
        histogram: int64[rows, ranks]: how many of the 4096 registers hold each rank; rank 0 is an empty register.
    """
    counts = np.zeros((len(histogram), LARGEST_RANK + 1), dtype=np.float64)
    counts[:, : histogram.shape[1]] = histogram
    z = REGISTERS * _tau(1 - counts[:, LARGEST_RANK] / REGISTERS)
    for rank in range(LARGEST_RANK - 1, 0, -1):
        z = 0.5 * (z + counts[:, rank])
    empty = counts[:, 0] == REGISTERS
    z += REGISTERS * _sigma(np.where(empty, 0.0, counts[:, 0] / REGISTERS))
    found = np.rint(_ALPHA * REGISTERS * REGISTERS / np.maximum(z, 2.0**-36))  # below 2^60: every register full says no more
    return np.where(empty, 0, found).astype(np.int64)


def _sigma(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σ x + x²ᵏ·2ᵏ⁻¹ for x in [0, 1)."""
    y, z = 1.0, x.copy()
    for _ in range(64):  # x² falls below what a double can add long before
        x = x * x
        z = z + x * y
        y += y
    return z


def _tau(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """⅓ (1 − x − Σ (1 − x^(2⁻ᵏ))² · 2⁻ᵏ)."""
    y, z = 1.0, 1 - x
    for _ in range(64):
        x = np.sqrt(x)
        y *= 0.5
        z = z - (1 - x) ** 2 * y
    return z / 3
