"""The stages of a model give together what the whole gives, whatever its objective, and however many there are."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from numpy.typing import NDArray

from inference.boosters.ensemble import LightGbm, by_stages
from inference.boosters.trees import Link, bounds, cut, raw_score
from schemas.errors import SettingError

RANDOM = np.random.default_rng(5)
MATRIX = RANDOM.normal(size=(500, 6))
SIGNAL = MATRIX[:, 0] + MATRIX[:, 1] ** 2 + RANDOM.normal(size=len(MATRIX))
FOREST = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.6}
THREE = np.digitize(SIGNAL, [0.0, 1.5])

MODELS: dict[str, tuple[dict[str, Any], NDArray[Any]]] = {
    "binary": ({"objective": "binary"}, SIGNAL > 1),
    "a steep sigmoid": ({"objective": "binary", "sigmoid": 2.5, "is_unbalance": True}, SIGNAL > 1),
    "a forest": ({"objective": "binary", **FOREST}, SIGNAL > 1),
    "dart": ({"objective": "binary", "boosting": "dart"}, SIGNAL > 1),
    "three classes": ({"objective": "multiclass", "num_class": 3}, THREE),
    "a forest of three classes": ({"objective": "multiclass", "num_class": 3, **FOREST}, THREE),
    "one against all": ({"objective": "multiclassova", "num_class": 3}, THREE),
    "regression": ({"objective": "regression"}, SIGNAL),
    "a forest of regression": ({"objective": "regression", **FOREST}, SIGNAL),
    "roots": ({"objective": "regression", "reg_sqrt": True}, SIGNAL),
    "counts": ({"objective": "poisson"}, np.abs(SIGNAL)),
    "gamma": ({"objective": "gamma"}, np.abs(SIGNAL) + 0.1),
    "tweedie": ({"objective": "tweedie"}, np.abs(SIGNAL)),
    "medians": ({"objective": "quantile", "alpha": 0.5}, SIGNAL),
    "shares": ({"objective": "cross_entropy"}, 1 / (1 + np.exp(-SIGNAL))),
    "intensities": ({"objective": "cross_entropy_lambda"}, 1 / (1 + np.exp(-SIGNAL))),
}


def trained(name: str, trees: int = 30) -> lgb.Booster:
    parameters, label = MODELS[name]
    quiet = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "num_leaves": 8}
    return lgb.train({**quiet, **parameters}, lgb.Dataset(MATRIX, label), trees)


@pytest.mark.parametrize("stages", [2, 4, 50])
@pytest.mark.parametrize("name", MODELS)
def test_the_stages_give_together_what_the_whole_gives(name: str, stages: int) -> None:
    booster = trained(name)
    whole = booster.predict(MATRIX, num_threads=1)
    texts = cut(booster, stages)
    assert len(texts) == stages
    raw = np.zeros((len(MATRIX), booster.num_model_per_iteration()))
    for text in texts:
        if text is not None:
            raw += raw_score(lgb.Booster(model_str=text), MATRIX)
    together = Link.of(booster).score(raw)
    np.testing.assert_allclose(together.reshape(np.shape(whole)), whole, rtol=1e-12, atol=1e-12)
    assert np.array_equal(
        by_stages(LightGbm(booster=booster, why="it is the reference"), MATRIX, stages), together
    )  # in every bit, apart or in one process


def test_stages_are_equal_shares_in_order_and_some_have_none() -> None:
    assert bounds(10, 4) == [(0, 2), (2, 3), (5, 2), (7, 3)]
    assert [count for _, count in bounds(2, 5)] == [0, 0, 1, 0, 1]
    assert sum(text is None for text in cut(trained("binary", 2), 5)) == 3


def test_an_objective_that_nobody_knows_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^objective lambdamart: cannot be cut by its trees; allowed are binary, cross_entropy, "):
        Link(objective="lambdamart topk:3")
