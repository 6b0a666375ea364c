"""How good a score is against what then happened: the area under the ROC curve, and log loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def auc(happened: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> float:
    """The chance that a random positive scores above a random negative; ties count half (Mann and Whitney, 1947).

    Args:
        happened: bool[n].
        score: float64[n], any scale.

    Returns:
        0 to 1; NaN unless both outcomes are present.
    """
    positives = int(happened.sum())
    negatives = len(happened) - positives
    if not positives or not negatives:
        return float("nan")
    _, group, size = np.unique(score, return_inverse=True, return_counts=True)
    highest = np.cumsum(size)
    rank = (highest - (size - 1) / 2)[group]
    return float((rank[happened].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(happened: npt.NDArray[np.bool_], probability: npt.NDArray[np.float64]) -> float:
    """Mean of −log of the probability given to what happened; lower is better.

    Args:
        happened: bool[n].
        probability: float64[n] of the positive outcome; 0 and 1 are taken as 1e-15 away from certain.

    Returns:
        In nats; NaN for no rows.
    """
    if not len(happened):
        return float("nan")
    p = np.clip(probability, 1e-15, 1 - 1e-15)
    return float(-np.where(happened, np.log(p), np.log1p(-p)).mean())
