"""Trees as machine code give LightGBM's own sums and scores in every bit, whatever the model and the rows; where they might not, LightGBM is asked, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.boosters.ensemble import Compiled, LightGbm, by_stages, ensemble
from inference.boosters.flat import FlatTrees, UnsupportedError

RANDOM = np.random.default_rng(7)
ROWS, COLUMNS, CATEGORICAL = 600, 6, (4, 5)
MATRIX = RANDOM.normal(size=(ROWS, COLUMNS))
MATRIX[:, 2] = np.where(RANDOM.random(ROWS) < 0.4, 0.0, MATRIX[:, 2])
MATRIX[:, 4], MATRIX[:, 5] = RANDOM.integers(0, 80, ROWS), RANDOM.integers(0, 5, ROWS)
WITH_NAN = np.where(RANDOM.random(MATRIX.shape) < 0.15, np.nan, MATRIX)
SIGNAL = MATRIX[:, 0] + MATRIX[:, 1] ** 2 + np.sin(MATRIX[:, 4]) + np.isnan(WITH_NAN[:, 3]) + RANDOM.normal(size=ROWS)
THREE = np.digitize(SIGNAL, [0.0, 1.5])
POSITIVE, SHARE = np.abs(SIGNAL) + 0.1, 1 / (1 + np.exp(-SIGNAL))
FOREST = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.6}

MODELS: dict[str, tuple[dict[str, Any], NDArray[Any], NDArray[np.float64]]] = {
    "binary": ({"objective": "binary"}, SIGNAL > 1, WITH_NAN),
    "of no NaN": ({"objective": "binary"}, SIGNAL > 1, MATRIX),
    "NaN as zero": ({"objective": "binary", "use_missing": False}, SIGNAL > 1, WITH_NAN),
    "zero as missing": ({"objective": "binary", "zero_as_missing": True}, SIGNAL > 1, WITH_NAN),
    "zero as missing, a little": ({"objective": "regression", "zero_as_missing": True, "num_leaves": 3}, SIGNAL, MATRIX),
    "a steep sigmoid": ({"objective": "binary", "sigmoid": 2.5}, SIGNAL > 1, WITH_NAN),
    "a forest": ({"objective": "binary", **FOREST}, SIGNAL > 1, WITH_NAN),
    "a forest of three classes": ({"objective": "multiclass", "num_class": 3, **FOREST}, THREE, WITH_NAN),
    "dart": ({"objective": "binary", "boosting": "dart"}, SIGNAL > 1, WITH_NAN),
    "three classes": ({"objective": "multiclass", "num_class": 3}, THREE, WITH_NAN),
    "one against all": ({"objective": "multiclassova", "num_class": 3}, THREE, WITH_NAN),
    "regression": ({"objective": "regression"}, SIGNAL, WITH_NAN),
    "roots": ({"objective": "regression", "reg_sqrt": True}, SIGNAL, WITH_NAN),
    "quantile": ({"objective": "quantile", "alpha": 0.3}, SIGNAL, WITH_NAN),
    "poisson": ({"objective": "poisson"}, POSITIVE, WITH_NAN),
    "gamma": ({"objective": "gamma"}, POSITIVE, WITH_NAN),
    "tweedie": ({"objective": "tweedie"}, POSITIVE, WITH_NAN),
    "shares": ({"objective": "cross_entropy"}, SHARE, WITH_NAN),
    "intensities": ({"objective": "cross_entropy_lambda"}, SHARE, WITH_NAN),
    "one leaf": ({"objective": "binary", "min_data_in_leaf": ROWS}, SIGNAL > 1, WITH_NAN),
    "wide sets": (
        {"objective": "regression", "max_cat_to_onehot": 1, "min_data_per_group": 1, "cat_smooth": 0.1, "cat_l2": 0},
        SIGNAL,
        WITH_NAN,
    ),
    "one value a set": ({"objective": "regression", "max_cat_to_onehot": 100, "min_data_per_group": 1}, SIGNAL, WITH_NAN),
    "deep": ({"objective": "regression", "num_leaves": 255, "min_data_in_leaf": 1}, SIGNAL, WITH_NAN),
}
QUIET = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "num_leaves": 15, "seed": 3}


def train(parameters: Mapping[str, Any], label: NDArray[Any], matrix: NDArray[np.float64], trees: int) -> lgb.Booster:
    categorical = list(CATEGORICAL) if not parameters.get("zero_as_missing") or parameters.get("num_leaves") else [5]
    grown = lgb.train(QUIET | dict(parameters), lgb.Dataset(matrix, label, categorical_feature=categorical), trees)
    return lgb.Booster(model_str=grown.model_to_string())


@cache
def trained(name: str) -> tuple[lgb.Booster, Compiled]:
    booster = train(*MODELS[name], trees=13)  # no multiple of the eight that are walked together
    made = ensemble(booster, name)
    assert isinstance(made, Compiled) and made.asked_of_lightgbm is None
    return booster, made


def thresholds(made: Compiled) -> list[float]:
    known = np.unique(made.flat.threshold[np.isfinite(made.flat.threshold)])
    return [float(value) for value in known[:: max(1, len(known) // 40)]]


SPECIAL = [
    np.nan,
    0.0,
    -0.0,
    1e-35,
    1.0000000180025095e-35,
    1.1e-35,
    -1e-36,
    5e-324,
    np.inf,
    -np.inf,
    1.7976931348623157e308,
    -1e300,
    -0.5,
    -1.0,
    0.99,
    31.0,
]
SPECIAL += [32.0, 79.5, 1e9, 2147483647.0, 2147483648.0, 4294967301.0, -2147483649.0]  # beyond what a category can be


def same(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return one.shape == other.shape and np.array_equal(one.view(np.uint64), other.view(np.uint64))


@pytest.mark.parametrize("name", MODELS)
def test_sums_and_scores_are_lightgbms_in_every_bit(name: str) -> None:
    booster, made = trained(name)
    near = np.array(thresholds(made))
    values = np.concatenate([SPECIAL, near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf), np.arange(-2.0, 90.0)])
    strange = np.random.default_rng(1).choice(values, (1500, COLUMNS))
    for rows in (MATRIX, WITH_NAN, strange, strange[:1], strange[:9], strange[:129], np.asfortranarray(strange[:50]), strange[:0]):
        reference = LightGbm(booster=booster, why="it is the reference")
        assert same(made.raw(rows), reference.raw(rows))
        assert same(made.scores(rows), reference.scores(rows))
        assert same(made.raw(rows, first=3, count=5), reference.raw(rows, first=3, count=5))
        assert same(made.raw(rows, first=9), reference.raw(rows, first=9, count=4))
        assert same(by_stages(made, rows, 4), by_stages(reference, rows, 4))
    if len(near):
        assert len(np.unique(made.raw(strange))) > 30


@pytest.mark.slow
@given(data=st.data())
def test_of_any_rows(data: st.DataObject) -> None:
    booster, made = trained(data.draw(st.sampled_from(sorted(MODELS))))
    value = st.one_of(
        st.sampled_from([*SPECIAL, *thresholds(made)]), st.floats(allow_nan=True, allow_infinity=True), st.integers(-3, 90).map(float)
    )
    rows = np.array(data.draw(st.lists(st.lists(value, min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=20)))
    reference = LightGbm(booster=booster, why="it is the reference")
    assert same(made.raw(rows), reference.raw(rows))
    assert same(made.scores(rows), reference.scores(rows))


@pytest.mark.slow
@given(data=st.data())
def test_of_any_model(data: st.DataObject) -> None:
    rows = data.draw(st.integers(20, 120))
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    matrix = np.where(
        random.random((rows, COLUMNS)) < data.draw(st.sampled_from([0.0, 0.3])), np.nan, np.round(random.normal(size=(rows, COLUMNS)), 1)
    )
    matrix[:, 4], matrix[:, 5] = random.integers(0, 40, rows), random.integers(0, 3, rows)
    parameters = {
        "objective": "regression",
        "num_leaves": data.draw(st.integers(2, 40)),
        "min_data_in_leaf": 1,
        "min_data_in_bin": 1,
        "min_data_per_group": 1,
        "cat_smooth": 0.1,
        "use_missing": data.draw(st.booleans()),
        "zero_as_missing": data.draw(st.booleans()),
    }
    booster = train(parameters, random.normal(size=rows), matrix, trees=data.draw(st.integers(1, 20)))
    made = ensemble(booster, "any")
    assert isinstance(made, Compiled)
    strange = random.choice([*SPECIAL, *thresholds(made)], (40, COLUMNS))
    for asked in (matrix, strange):
        assert same(made.raw(asked), LightGbm(booster=booster, why="it is the reference").raw(asked))


def of_linear_trees() -> lgb.Booster:
    dataset = lgb.Dataset(MATRIX, SIGNAL, params={"linear_tree": True})
    return lgb.Booster(model_str=lgb.train(QUIET | {"objective": "regression", "linear_tree": True}, dataset, 3).model_to_string())


def test_linear_trees_are_lightgbms(caplog: pytest.LogCaptureFixture) -> None:
    booster = of_linear_trees()
    made = ensemble(booster, "model.txt")
    assert isinstance(made, LightGbm) and made.asked_of_lightgbm == "linear trees"
    assert caplog.messages == ["model.txt: LightGBM is asked for its scores, not machine code: linear trees"]
    assert same(made.scores(MATRIX)[:, 0], np.asarray(booster.predict(MATRIX)))
    assert same(made.raw(MATRIX), made.raw(MATRIX, first=0, count=3))


def test_an_objective_that_nobody_knows_is_lightgbms(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.boosters.trees._TRANSFORMS", {})
    booster, _ = trained("binary")
    made = ensemble(booster, "model.txt")
    assert made.asked_of_lightgbm == "objective binary"
    assert same(made.scores(MATRIX)[:, 0], np.asarray(booster.predict(MATRIX)))


def test_machine_code_that_gives_another_bit_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.boosters import kernel

    booster, _ = trained("three classes")
    right = kernel.convert

    def nearly(raw: NDArray[np.float64], *others: Any) -> None:
        right(raw, *others)
        raw[-1, -1] = np.nextafter(raw[-1, -1], 1)

    monkeypatch.setattr(kernel, "convert", nearly)
    again = ensemble(booster, "model.txt")
    assert isinstance(again, LightGbm) and again.why == "machine code gives other scores here"


@pytest.mark.parametrize(
    ("from_", "to", "told"),
    [
        ("version=v4", "version=v9", "a model file of version v9"),
        ("\nshrinkage=", "\nquantum=3\nshrinkage=", "trees with quantum"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=2", "13 trees of 2 outputs"),
        (r"split_feature=\d+", "split_feature=99", "splits of a feature that it has not"),
        (r"decision_type=\d+", "decision_type=14", "splits of an unknown decision type"),
        (r"left_child=-?\d+", "left_child=0", "damaged trees"),
        (r"left_child=-?\d+", "left_child=999", "damaged trees"),
        (r"left_child=-?\d+", "left_child=-999", "damaged trees"),
        (r"threshold=\S+", "threshold=nan", "thresholds that are NaN"),
        (r"threshold=\S+ ", "threshold=", "damaged trees"),
        (r"leaf_value=\S+ ", "leaf_value=", "damaged trees"),
        (r"cat_boundaries=0 \d+", "cat_boundaries=0 9999", "damaged sets"),
    ],
)
def test_what_is_not_known_is_not_guessed(from_: str, to: str, told: str) -> None:
    text, count = re.subn(from_, to, trained("binary")[0].model_to_string(), count=1)
    assert count == 1
    with pytest.raises(UnsupportedError, match=f"^{told}$"):
        FlatTrees.of(text)


def test_columns_that_are_not_the_models_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^5 columns, the trees have 6$"):
        trained("binary")[1].raw(MATRIX[:, :5])
