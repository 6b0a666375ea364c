"""What a model takes and answers: features in, scores and a shard for every request out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WHOLE = 0
"""The shard of a model in one piece."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of a model, and so of each of its files.

    Attributes:
        columns: Of the feature matrix.
        outputs: Scores of a request: 1, or as many as there are classes.
    """

    columns: int
    outputs: int


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Of n requests.

    Attributes:
        score: float64[n, outputs]; NaN where refused.
        shard: int64[n], which shard answered: `WHOLE` of a model in one piece, −1 where the parent did for a shard that is missing.
        refused: bool[n], that no shard has an answer and the parent may not give one.
        loads: How many shards had to be loaded for it.
        matrix: float64[n, features] of a model whose later trees are other workers'; then `score` is the sum so far.
    """

    score: NDArray[np.float64]
    shard: NDArray[np.int64]
    refused: NDArray[np.bool_]
    loads: int = 0
    matrix: NDArray[np.float64] | None = None

    def take(self, rows: NDArray[np.int64]) -> Scores:
        """Some of them; `loads` stays what it was."""
        matrix = None if self.matrix is None else self.matrix[rows]
        return Scores(score=self.score[rows], shard=self.shard[rows], refused=self.refused[rows], loads=self.loads, matrix=matrix)

    @classmethod
    def of_one(cls, score: NDArray[np.float64]) -> Scores:
        """Of a model in one piece."""
        n = len(score)
        return cls(score=score, shard=np.full(n, WHOLE, dtype=np.int64), refused=np.zeros(n, dtype=np.bool_))
