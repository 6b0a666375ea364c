"""A model of 200 trees of 63 leaves on 24 columns with nulls, and rows to be scored: ordinary ones, and ones whose values are the trees' thresholds."""

from __future__ import annotations

from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from benchmarks.predicting.agreed import MODEL
from benchmarks.trees import trained

COLUMNS, SEED = 24, 17
ROWS, AT_THRESHOLDS = 10_000, 2_000
"""Of the rows, the last so many are at thresholds: there a score shows whether a comparison is LightGBM's own, of doubles."""

_Matrix = NDArray[np.float64]


def ensure(folder: Path) -> None:
    """Write the model, `rows.npy` and `right.npy`, LightGBM's scores of them, unless they are there."""
    if (folder / "right.npy").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    booster = trained(rows(20_000, seed=0), seed=SEED)
    booster.save_model(folder / MODEL)
    ordinary = rows(ROWS - AT_THRESHOLDS, seed=1)
    matrix = np.concatenate([ordinary, _at_thresholds(rows(AT_THRESHOLDS, seed=2), booster)])
    np.save(folder / "rows.npy", matrix)
    np.save(folder / "right.npy", booster.predict(matrix, num_threads=1))


def rows(count: int, seed: int) -> _Matrix:
    """So many: a third of the columns whole numbers with many zeros, a third amounts in cents, a third means; a tenth of the last two null."""
    random = np.random.default_rng([SEED, seed])
    third = (count, COLUMNS // 3)
    some = random.poisson(1.5, third).astype(np.float64)
    amounts, means = np.round(random.gamma(2.0, 30.0, third), 2), random.gamma(2.0, 30.0, third) / 7
    for values in (amounts, means):
        values[random.random(third) < 0.1] = np.nan
    return np.concatenate([some, amounts, means], axis=1)


def _at_thresholds(matrix: _Matrix, booster: lgb.Booster) -> _Matrix:
    """The rows with every value that is not null moved to one of its column's thresholds, or to the next double on either side."""
    random = np.random.default_rng(SEED)
    for column, thresholds in _thresholds(booster).items():
        chosen = random.choice(thresholds, len(matrix))
        aside = random.integers(-1, 2, len(matrix))
        moved = np.nextafter(chosen, chosen + aside)
        matrix[:, column] = np.where(np.isnan(matrix[:, column]), np.nan, moved)
    return matrix


def _thresholds(booster: lgb.Booster) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    columns: list[str] = []
    for line in booster.model_to_string().splitlines():
        name, _, values = line.partition("=")
        if name == "split_feature":
            columns = values.split()
        elif name == "threshold":
            for column, threshold in zip(columns, values.split(), strict=True):
                found.setdefault(int(column), []).append(float(threshold))
    return found
