"""A model of 5,000 trees of 255 leaves, whole and cut into four stages, and rows to be scored."""

from __future__ import annotations

import shutil
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa

from benchmarks.benchmark import CORES
from inference.model.encoding import Encoding
from inference.model.manifest import MANIFEST_FILE
from inference.model.writer import save
from schemas.types import DataType

COLUMNS, STAGES, LEAVES, SEED = 24, 4, 255, 3
TYPES = {f"x{number}": DataType.FLOAT64 for number in range(COLUMNS)}


def rows(count: int, seed: int) -> pa.Table:
    """So many, of a normal distribution."""
    random = np.random.default_rng([SEED, seed])
    return pa.table({name: random.normal(size=count) for name in TYPES})


def ensure(folder: Path, trees: int) -> None:
    """Train it, unless it is there."""
    if (folder / MANIFEST_FILE).is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    table = rows(20_000, seed=0)
    encoding = Encoding.of(TYPES, table)
    matrix = encoding.matrix(table)
    noise = np.random.default_rng(SEED).normal(size=len(matrix))
    label = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + np.sin(3 * matrix[:, 3]) + noise > 0
    parameters = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "learning_rate": 0.001,  # so that the last tree still has something to learn, and all its leaves
        "min_data_in_leaf": 5,
        "min_sum_hessian_in_leaf": 0.0,
        "num_threads": CORES,
        "verbosity": -1,
    }
    booster = lgb.train(parameters, lgb.Dataset(matrix, label), trees)
    if booster.model_to_string().count(f"\nnum_leaves={LEAVES}\n") != trees:
        raise ValueError(f"not every tree has {LEAVES} leaves")
    save(folder, booster, encoding, record={"name": "large", "service": "none", "service_version": "none"}, stages=STAGES)
