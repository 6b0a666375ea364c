"""The curves of the demo's report."""

from __future__ import annotations

import numpy as np

from jobs.demo.curves import calibration, roc


def test_roc_runs_from_corner_to_corner_and_takes_ties_in_one_step() -> None:
    labels, scores = np.array([True, False, True, False]), np.array([0.9, 0.9, 0.4, 0.1])
    false, true = roc(labels, scores)
    assert false.tolist() == [0.0, 0.5, 0.5, 1.0]
    assert true.tolist() == [0.0, 0.5, 1.0, 1.0]


def test_calibration_bins_hold_equally_many() -> None:
    scores = np.linspace(0, 1, 100)
    said, happened = calibration(scores > 0.5, scores, bins=4)
    assert happened.tolist() == [0.0, 0.0, 1.0, 1.0]
    assert np.all(np.diff(said) > 0)
