"""A back end is held to what it claims of its scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.benchmark import WrongAnswerError
from benchmarks.predicting import agreed
from benchmarks.works.predict import OTHERS, SERVING, check, inputs


def scored(folder: Path, scores: NDArray[np.float64]) -> Path:
    for size in agreed.SIZES:
        np.save(folder / f"scores-{size}.npy", scores)
    return folder


def test_a_back_end_is_held_to_what_it_claims(tmp_path: Path) -> None:
    right = np.full(inputs.ROWS, 0.25)
    np.save(tmp_path / "right.npy", right)
    scored(tmp_path, right)
    check.within(check.differences(tmp_path, tmp_path), ordinary=0.0, edges=0.0)
    aside, edge = right.copy(), right.copy()
    aside[7], edge[-1] = np.nextafter(0.25, 1.0), 0.5
    np.save(tmp_path / "scores-100.npy", aside)
    found = check.differences(tmp_path, tmp_path)
    assert found == {check.ORDINARY: np.spacing(0.25), check.EDGES: 0.0}
    check.within(found, ordinary=1e-12, edges=0.0)
    with pytest.raises(WrongAnswerError, match=r"greatest difference from LightGBM's scores: 5.55e-17, claimed 0"):
        check.within(found, ordinary=0.0, edges=0.0)
    np.save(tmp_path / "scores-100.npy", edge)
    with pytest.raises(WrongAnswerError, match=r"at thresholds from LightGBM's scores: 0.25, claimed 1e-05"):
        check.within(check.differences(tmp_path, tmp_path), ordinary=1e-5, edges=1e-5)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_within_nothing(tmp_path: Path, number: float) -> None:
    np.save(tmp_path / "right.npy", np.full(inputs.ROWS, 0.25))
    wrong = np.full(inputs.ROWS, 0.25)
    wrong[3] = number
    scored(tmp_path, wrong)
    with pytest.raises(WrongAnswerError, match="claimed 1"):
        check.within(check.differences(tmp_path, tmp_path), ordinary=1.0, edges=1.0)


def test_every_row_needs_a_score(tmp_path: Path) -> None:
    np.save(tmp_path / "right.npy", np.full(inputs.ROWS, 0.25))
    scored(tmp_path, np.full(inputs.ROWS - 1, 0.25))
    with pytest.raises(WrongAnswerError, match="shape"):
        check.differences(tmp_path, tmp_path)


def test_only_a_back_end_that_is_equal_in_every_bit_does_not_say_that_it_is_not() -> None:
    for entry in (SERVING, *OTHERS):
        assert ("**not equal**" in entry.what) == (entry.ordinary > 0 or entry.edges > 0)
