"""A LightGBM booster from labelled rows, stopped early on later days and measured on days after those."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from inference.model.encoding import Encoding
from inference.model.evaluation import auc, log_loss
from jobs.training.dataset import Split, TrainingSet, day
from schemas.errors import DataError
from schemas.types import DataType

FIT, STOP, TEST = "fit", "stop", "test"
PARAMETERS: Mapping[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 300,
    "feature_fraction": 0.5,
    "cat_smooth": 50,
    "seed": 20130101,
    "deterministic": True,  # with force_row_wise: the same model from the same data on any number of cores
    "force_row_wise": True,
    "verbosity": -1,
}
MOST_TREES = 800
PATIENCE_TREES = 40
"""Trees without a better log loss on the stopping days, after which training ends."""

_THREADS = re.compile(r"^\[num_threads: \d+\]\n", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Rows to learn from, as numbers.

    Attributes:
        matrix: float64[n, features].
        happened: bool[n], the label.
        parts: Part (`FIT`, `STOP`, `TEST`) → bool[n], which rows are of it.
        encoding: Of the features.
    """

    matrix: NDArray[np.float64] = field(repr=False)
    happened: NDArray[np.bool_] = field(repr=False)
    parts: Mapping[str, NDArray[np.bool_]] = field(repr=False)
    encoding: Encoding

    @classmethod
    def of(cls, data: TrainingSet, split: Split, types: Mapping[str, DataType]) -> Self:
        """A training set's.

        Raises:
            DataError: A part of the split has no row.
        """
        parts = dict(zip((FIT, STOP, TEST), split.parts(data.times_ms), strict=True))
        for part, rows in parts.items():
            if not rows.any():
                raise DataError(
                    f"--training: no labelled request to {part} with ({day(split.stop_ms)} and {day(split.test_ms)} cut the time)"
                )
        encoding = Encoding.of(types, data.table.filter(pa.array(parts[FIT])))
        return cls(matrix=encoding.matrix(data.table), happened=data.happened, parts=parts, encoding=encoding)

    def only(self, rows: NDArray[np.bool_]) -> Self:
        """Some of them."""
        parts = {part: of_part[rows] for part, of_part in self.parts.items()}
        return replace(self, matrix=self.matrix[rows], happened=self.happened[rows], parts=parts)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model and how good it is.

    Attributes:
        booster: The model, cut to its best number of trees.
        metrics: Part → `measured`.
        seconds: How long it took.
    """

    booster: lgb.Booster
    metrics: Mapping[str, Mapping[str, float | None]]
    seconds: float


def fit(examples: Examples) -> Trained:
    """Fit on the earlier days, stop by the log loss of later ones, measure on all parts; the first two have a row."""
    started = time.monotonic()
    matrix, happened, parts = examples.matrix, examples.happened, examples.parts
    parameters = {**PARAMETERS, "num_threads": cores()}
    encoding = examples.encoding
    first = lgb.Dataset(
        matrix[parts[FIT]], happened[parts[FIT]], feature_name=list(encoding.types), categorical_feature=encoding.categorical
    )
    later = lgb.Dataset(matrix[parts[STOP]], happened[parts[STOP]], reference=first)
    grown = lgb.train(
        parameters,
        first,
        MOST_TREES,
        valid_sets=[later],
        callbacks=[lgb.early_stopping(PATIENCE_TREES, first_metric_only=True, verbose=False)],
    )
    text = grown.model_to_string(num_iteration=grown.best_iteration)
    booster = lgb.Booster(model_str=_THREADS.sub("", text))  # or the version would tell on how many cores it was trained
    metrics = {part: measured(scores(booster, matrix[rows]), happened[rows]) for part, rows in parts.items()}
    return Trained(booster=booster, metrics=metrics, seconds=time.monotonic() - started)


def scores(booster: lgb.Booster, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of many rows, by all cores: float64[rows]."""
    if not len(matrix):
        return np.empty(0, dtype=np.float64)
    return np.asarray(booster.predict(matrix, num_threads=cores()), dtype=np.float64)


def measured(score: NDArray[np.float64], happened: NDArray[np.bool_]) -> dict[str, float | None]:
    """Rows, share of positives, AUC and log loss; None for what so few rows do not have."""
    found: dict[str, float] = {
        "positive_share": float(happened.mean()) if len(happened) else float("nan"),
        "auc": auc(happened, score),
        "log_loss": log_loss(happened, score),
    }
    return {"rows": len(score)} | {name: None if np.isnan(value) else value for name, value in found.items()}


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
