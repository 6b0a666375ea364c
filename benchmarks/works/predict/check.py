"""How far scores are from LightGBM's own, in batches of every size, and whether that is as little as a back end claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.benchmark import Figures, WrongAnswerError
from benchmarks.predicting.agreed import SIZES
from benchmarks.works.predict.inputs import AT_THRESHOLDS

ORDINARY, EDGES = "greatest_difference", "greatest_difference_at_thresholds"


def differences(out: Path, inputs: Path) -> Figures:
    """The greatest, of ordinary rows and of those at thresholds; NaN where a score is.

    Raises:
        WrongAnswerError: There are more or fewer scores than rows.
    """
    right, greatest = np.load(inputs / "right.npy"), np.zeros(2)
    for size in SIZES:
        scores = np.load(out / f"scores-{size}.npy")
        if scores.shape != right.shape:
            raise WrongAnswerError(f"scores of the shape {scores.shape}, expected {right.shape}")
        off = np.abs(scores - right)
        greatest = np.maximum(greatest, [off[:-AT_THRESHOLDS].max(), off[-AT_THRESHOLDS:].max()])
    return dict(zip((ORDINARY, EDGES), greatest.tolist(), strict=True))


def within(found: Figures, *, ordinary: float, edges: float) -> None:
    """Compare differences with what is claimed.

    Raises:
        WrongAnswerError: One is greater, or NaN.
    """
    for name, most in {ORDINARY: ordinary, EDGES: edges}.items():
        if not found[name] <= most:
            raise WrongAnswerError(f"{name.replace('_', ' ')} from LightGBM's scores: {found[name]:.3g}, claimed {most:.3g}")
