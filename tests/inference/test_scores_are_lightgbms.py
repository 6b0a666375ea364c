"""Whatever booster is saved: the stream, batch scoring and LightGBM's own `predict` with its defaults give a request the same score.

In one piece it is the same in every bit. By key and cut by its trees, stream and batch are the same in every bit, and LightGBM's but for the order of a sum.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from inference.batch import BatchScorer
from inference.model.encoding import Encoding
from inference.model.manifest import Manifest
from inference.model.writer import TrainedShards, save
from inference.online.redis.connection import Client
from inference.shards.shard_map import ShardMap
from schemas.errors import SettingError
from schemas.types import DataType
from tests import shop
from tests.inference.test_scorer import AS_OF, fill, scorer
from tests.inference.test_stages import Line, offers

BUY = shop.plan().services["buy"]
RECORD = {"name": "buy", "service": BUY.name, "service_version": BUY.fingerprint}
QUIET: dict[str, Any] = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "num_leaves": 8, "learning_rate": 0.3}
FOREST: dict[str, Any] = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.6}
ROWS = 400


def table() -> pa.Table:
    random = np.random.default_rng(7)
    makers: dict[DataType, Callable[[], Any]] = {
        DataType.FLOAT64: lambda: pa.array(random.normal(3.0, 2.0, ROWS), mask=random.random(ROWS) < 0.2),
        DataType.INT64: lambda: pa.array(random.integers(0, 5, ROWS)),
        DataType.STRING: lambda: pa.array(random.choice(["red", "blue"], ROWS)),
    }
    return pa.table({name: makers[type_]() for name, type_ in BUY.feature_types.items()})


TABLE = table()
ENCODING = Encoding.of(BUY.feature_types, TABLE)
MATRIX = ENCODING.matrix(TABLE)
SIGNAL = np.nan_to_num(MATRIX[:, list(BUY.feature_types).index("price")]) - 3 + np.random.default_rng(1).normal(size=ROWS)
POSITIVE, SHARE = np.abs(SIGNAL) + 0.1, 1 / (1 + np.exp(-SIGNAL))
CLASS = np.digitize(SIGNAL, [-1.0, 1.5])
Rows = NDArray[np.int64]


def data(rows: Rows, label: NDArray[Any], **options: Any) -> lgb.Dataset:
    return lgb.Dataset(MATRIX[rows], label[rows], categorical_feature=ENCODING.categorical, free_raw_data=False, **options)


def trained(label: NDArray[Any], trees: int = 12, grouped: bool = False, **parameters: Any) -> Callable[[Rows], lgb.Booster]:
    def train(rows: Rows) -> lgb.Booster:
        options = {"group": [len(rows) // 10] * 10} if grouped else {}
        linear = {"linear_tree": parameters.get("linear_tree", False), "verbosity": -1}
        return lgb.train(QUIET | parameters, data(rows, label, params=linear, **options), trees)

    return train


def stopped_early(rows: Rows, **options: Any) -> lgb.Booster:
    """With trees behind the best one where they are kept."""
    stop = lgb.early_stopping(8, verbose=False)
    parameters = QUIET | {"objective": "binary", "learning_rate": 0.9}
    later = lgb.Dataset(MATRIX[:100], SIGNAL[:100] > 1)
    return lgb.train(parameters, data(rows, SIGNAL > 1), 60, valid_sets=[later], callbacks=[stop], **options)


def best_by_hand(rows: Rows, best: int = 5, **parameters: Any) -> lgb.Booster:
    booster = trained(SIGNAL > 1, **({"objective": "binary"} | parameters))(rows)
    booster.best_iteration = best
    return booster


def step_by_step(rows: Rows) -> lgb.Booster:
    """Still in training, its last iteration taken back."""
    booster = lgb.Booster(QUIET | {"objective": "binary"}, data(rows, SIGNAL > 1))
    for _ in range(9):
        booster.update()
    return booster.rollback_one_iter()


def squared(raw: NDArray[np.float64], of: lgb.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """An objective of the user's own."""
    return raw - np.asarray(of.get_label()), np.ones_like(raw)


def squared_of_three(raw: NDArray[np.float64], of: lgb.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return raw - np.asarray(of.get_label())[:, None], np.ones_like(raw)


def continued(rows: Rows) -> lgb.Booster:
    first = best_by_hand(rows)
    return lgb.train(QUIET | {"objective": "binary"}, data(rows, SIGNAL > 1), 7, init_model=first)


def changed_leaf(rows: Rows) -> lgb.Booster:
    booster = best_by_hand(rows, best=-1)
    booster.set_leaf_output(0, 1, 0.75)
    return booster.shuffle_models()


def from_start_scores(rows: Rows) -> lgb.Booster:
    return lgb.train(QUIET | {"objective": "binary"}, data(rows, SIGNAL > 1, init_score=np.linspace(-1, 1, len(rows))), 12)


BOOSTERS: Mapping[str, Callable[[Rows], lgb.Booster]] = {
    "binary": trained(SIGNAL > 1, objective="binary"),
    "a steep sigmoid": trained(SIGNAL > 1, objective="binary", sigmoid=2.5, is_unbalance=True),
    "three classes": trained(CLASS, objective="multiclass", num_class=3),
    "one against all": trained(CLASS, objective="multiclassova", num_class=3),
    "regression": trained(SIGNAL, objective="regression"),
    "roots": trained(SIGNAL, objective="regression", reg_sqrt=True),
    "absolute": trained(SIGNAL, objective="regression_l1"),
    "huber": trained(SIGNAL, objective="huber"),
    "fair": trained(SIGNAL, objective="fair"),
    "quantile": trained(SIGNAL, objective="quantile", alpha=0.3),
    "mape": trained(POSITIVE, objective="mape"),
    "poisson": trained(POSITIVE, objective="poisson"),
    "gamma": trained(POSITIVE, objective="gamma"),
    "tweedie": trained(POSITIVE, objective="tweedie"),
    "shares": trained(SHARE, objective="cross_entropy"),
    "intensities": trained(SHARE, objective="cross_entropy_lambda"),
    "ranks": trained(CLASS, objective="lambdarank", grouped=True),
    "ranks by xendcg": trained(CLASS, objective="rank_xendcg", grouped=True),
    "an objective of one's own": trained(SIGNAL, objective=squared),
    "an objective of one's own, of three scores": trained(SIGNAL, objective=squared_of_three, num_class=3),
    "a forest": trained(SIGNAL > 1, objective="binary", **FOREST),
    "a forest of three classes": trained(CLASS, objective="multiclass", num_class=3, **FOREST),
    "a forest up to its best": lambda rows: best_by_hand(rows, **FOREST),
    "dart": trained(SIGNAL > 1, objective="binary", boosting="dart"),
    "dart up to its best": lambda rows: best_by_hand(rows, boosting="dart"),
    "goss": trained(SIGNAL > 1, objective="binary", data_sample_strategy="goss"),
    "linear trees": trained(SIGNAL, objective="regression", linear_tree=True),
    "zero as missing": trained(SIGNAL > 1, objective="binary", zero_as_missing=True),
    "one tree": trained(SIGNAL > 1, trees=1, objective="binary"),
    "one leaf": trained(SIGNAL > 1, objective="binary", min_data_in_leaf=ROWS),
    "stopped early": stopped_early,
    "stopped early, later trees kept": lambda rows: stopped_early(rows, keep_training_booster=True),
    "best by hand": best_by_hand,
    "best beyond the last": lambda rows: best_by_hand(rows, best=99),
    "still in training": step_by_step,
    "continued": continued,
    "refitted": lambda rows: best_by_hand(rows).refit(MATRIX[rows], SIGNAL[rows] > 0),
    "changed by hand": changed_leaf,
    "from start scores": from_start_scores,
    "pickled": lambda rows: pickle.loads(pickle.dumps(best_by_hand(rows))),
    "from a file": lambda rows: lgb.Booster(model_str=best_by_hand(rows).model_to_string(num_iteration=-1)),
}
ALL, SOME = np.arange(ROWS), np.arange(100, ROWS)


def told(rows: list[dict[str, Any] | None]) -> tuple[NDArray[np.float64], pa.Table]:
    """What a stream's predictions say: float64[n, outputs], and the tables that batch scoring begins with."""
    answered = [row for row in rows if row is not None]
    assert len(answered) == len(rows) == 40
    scores = np.array([row["scores"] or [row["score"]] for row in answered])
    said = {name: pa.array([row["request"][name] for row in answered]).cast(type_.arrow) for name, type_ in BUY.request.columns.items()}
    said |= {name: pa.array([row["features"][name] for row in answered], type=type_.arrow) for name, type_ in BUY.feature_types.items()}
    return scores, pa.table(said | {"frontier": said["event_time"], "stale": pa.array([row["stale"] for row in answered])})


def in_batch(folder: Path, asked: pa.Table, outputs: int) -> NDArray[np.float64]:
    scored = BatchScorer(service=BUY, model=folder, version=Manifest.read(folder).version).score(asked)
    return np.array(scored["scores"].to_pylist() if outputs > 1 else [[score] for score in scored["score"].to_pylist()])


def own(booster: lgb.Booster, asked: pa.Table) -> NDArray[np.float64]:
    """LightGBM's, as its user calls it."""
    return np.asarray(booster.predict(ENCODING.matrix(asked))).reshape(len(asked), -1)


@pytest.mark.parametrize("name", BOOSTERS)
def test_stream_batch_and_lightgbm_give_the_same_score(name: str, client: Client, tmp_path: Path) -> None:
    fill(client)
    whole, part = BOOSTERS[name](ALL), BOOSTERS[name](SOME)
    save(tmp_path / "whole", whole, ENCODING, record=RECORD)
    scores, asked = told(
        [shop.prediction(value) for value in scorer(client, tmp_path / "whole").answer(offers()).values if value is not None]
    )
    expected = own(whole, asked)
    assert len(np.unique(expected)) > (0 if name == "one leaf" else 4)
    assert np.array_equal(scores, expected)
    assert np.array_equal(in_batch(tmp_path / "whole", asked, scores.shape[1]), expected)

    shards = TrainedShards(map=ShardMap.of(["user"], segments=["ann"]), boosters={0: part})
    save(tmp_path / "cut", whole, ENCODING, record=RECORD, shards=shards, stages=2)
    rows, _ = Line(client, tmp_path / "cut", 2).answer(offers())
    scores, asked = told(rows)
    expected = np.where(np.array(asked["user"].to_pylist())[:, None] == "ann", own(part, asked), expected)
    assert np.array_equal(in_batch(tmp_path / "cut", asked, scores.shape[1]), scores)
    np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=1e-12)


def test_a_score_of_the_later_trees_too_would_be_another() -> None:
    for name in ("stopped early, later trees kept", "best by hand", "a forest up to its best", "dart up to its best"):
        booster = BOOSTERS[name](ALL)
        assert booster.best_iteration < booster.current_iteration(), name
        best, last = (np.asarray(booster.predict(MATRIX, raw_score=True, num_iteration=trees)) for trees in (None, -1))
        assert np.abs(np.subtract(best, last)).max() > 0.01, name


def misfit(booster: Any, tmp_path: Path, encoding: Encoding = ENCODING, **options: Any) -> str:
    with pytest.raises(SettingError) as error:
        save(tmp_path, booster, encoding, record=RECORD, **options)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())  # nothing is written of what is refused
    return str(error.value)


def test_a_booster_of_other_columns_than_the_encodings_is_refused_and_nothing_written(tmp_path: Path) -> None:
    names = list(BUY.feature_types)
    swapped = lgb.train(QUIET, lgb.Dataset(MATRIX, SIGNAL, feature_name=[names[1], names[0], *names[2:]]), 2)
    assert misfit(swapped, tmp_path).startswith(
        f"booster: its feature 0 is {names[1]}, the encoding's {names[0]}; give the encoding's types in "
    )
    fewer = lgb.train(QUIET, lgb.Dataset(MATRIX[:, 1:], SIGNAL), 2)
    assert misfit(fewer, tmp_path) == f"booster: was trained on {len(names) - 1} features, the encoding has {len(names)}"
    good = BOOSTERS["one tree"](ALL)
    shards = TrainedShards(map=ShardMap.of(["user"], shards=2), boosters={0: good, 1: swapped})
    assert misfit(good, tmp_path, shards=shards).startswith("shard 1: its feature 0 is ")
    assert misfit(lgb.Booster(QUIET, lgb.Dataset(MATRIX, SIGNAL)), tmp_path) == "booster: has no trees"
    assert misfit(lgb.CVBooster(), tmp_path).startswith("booster: is a CVBooster, not a lightgbm.Booster")


def frame(asked: pa.Table, colours: list[str]) -> pd.DataFrame:
    """As its user has it, who leaves the numbering of categories to LightGBM."""
    columns = {name: pd.Series(asked[name].to_pylist(), dtype=None if name == "colour" else float) for name in BUY.feature_types}
    return pd.DataFrame(columns | {"colour": pd.Categorical(columns["colour"], categories=colours)})


def test_a_booster_of_a_pandas_frame_scores_by_its_own_numbers_of_categories_or_is_refused(client: Client, tmp_path: Path) -> None:
    fill(client)
    colours = ["red", "grey", "blue"]  # neither sorted, nor all in the rows
    label = SIGNAL + 3 * np.equal(TABLE["colour"].to_numpy(zero_copy_only=False), "red")
    booster = lgb.train(QUIET | {"min_data_per_group": 5, "cat_smooth": 1}, lgb.Dataset(frame(TABLE, colours), label), 12)
    assert booster.pandas_categorical == [colours]
    assert misfit(booster, tmp_path).startswith(
        "booster: was trained on a pandas frame and numbers the values of its 1 categorical columns as "
    )
    encoding = Encoding(types=BUY.feature_types, categories={"colour": tuple(booster.pandas_categorical[0])})
    save(tmp_path, booster, encoding, record=RECORD)
    bodies = [shop.offer(f"r{row}", AS_OF, colour=["red", "blue", "grey", "mauve"][row % 4], price=row / 7) for row in range(40)]
    scores, asked = told([shop.prediction(value) for value in scorer(client, tmp_path).answer(bodies).values if value is not None])
    assert np.array_equal(scores[:, 0], np.asarray(booster.predict(frame(asked, colours))))
    assert np.array_equal(in_batch(tmp_path, asked, 1), scores)
    assert len(np.unique(scores)) > 20
