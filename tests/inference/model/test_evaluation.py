"""The metrics are what their definitions say, counted pair by pair."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference.model.evaluation import auc, log_loss

outcomes = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.5, 0.9, 1.0])), max_size=30)


@given(outcomes)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[bool, float]]) -> None:
    ups, downs = [score for happened, score in rows if happened], [score for happened, score in rows if not happened]
    found = auc(np.array([happened for happened, _ in rows], dtype=bool), np.array([score for _, score in rows], dtype=np.float64))
    if not ups or not downs:
        assert math.isnan(found)
    else:
        expected = sum((up > down) + (up == down) / 2 for up in ups for down in downs) / (len(ups) * len(downs))
        assert math.isclose(found, expected, rel_tol=1e-12)


def test_log_loss_is_finite_for_the_certain_and_wrong() -> None:
    assert math.isclose(log_loss(np.array([True, False]), np.array([0.8, 0.4])), -(math.log(0.8) + math.log(0.6)) / 2)
    assert math.isclose(log_loss(np.array([True]), np.array([0.0])), -math.log(1e-15))
    assert math.isnan(log_loss(np.array([], dtype=bool), np.array([])))
