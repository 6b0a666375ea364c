"""A model as large as one that scores in a stream, of a label that is made up."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from benchmarks.benchmark import CORES

TREES, LEAVES = 200, 63


def trained(matrix: NDArray[np.float64], *, seed: int) -> lgb.Booster:
    """200 trees of 63 leaves: whether a random sum of all columns, with as much noise, is above its median.

    Args:
        matrix: float64[rows, columns], NaN where null.
        seed: Of the sum and the noise.
    """
    random = np.random.default_rng(seed)
    scale = np.nanstd(matrix, axis=0) + 1e-9
    label = np.nan_to_num(matrix / scale) @ random.normal(size=matrix.shape[1])
    label = label + random.normal(scale=label.std(), size=len(matrix)) > np.median(label)
    parameters: dict[str, Any] = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "min_data_in_leaf": 20,
        "num_threads": CORES,
        "verbosity": -1,
        "seed": seed,
        "deterministic": True,
    }
    return lgb.train(parameters, lgb.Dataset(matrix, label), TREES)
