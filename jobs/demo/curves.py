"""The curves of the demo's report: how well scores rank, and whether they mean what they say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def roc(labels: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates at every distinct score, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    true, false = np.cumsum(labels[order])[last_of_tie], np.cumsum(~labels[order])[last_of_tie]
    return np.append(0.0, false / max(false[-1], 1)), np.append(0.0, true / max(true[-1], 1))


def calibration(labels: Bools, scores: Floats, bins: int = 10) -> tuple[Floats, Floats]:
    """Mean score and share of true cases in bins of equally many requests, lowest scores first."""
    parts: Sequence[NDArray[np.int64]] = [part for part in np.array_split(np.argsort(scores, kind="stable"), bins) if len(part)]
    return np.array([scores[part].mean() for part in parts]), np.array([labels[part].mean() for part in parts])
