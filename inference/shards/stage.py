"""One stage of a model that is cut by its trees: what one Python worker holds of it, and adds to what the stages before it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.boosters.cache import Boosters
from inference.boosters.trees import Link


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some consecutive trees of the whole model, or of each of its shards.

    Attributes:
        number: Which, from 0.
        stages: How many there are.
        boosters: Shard → its trees in this stage; a shard may have none.
        links: Shard → what follows its last tree.
    """

    number: int
    stages: int
    boosters: Boosters = field(repr=False)
    links: Mapping[int, Link]

    @property
    def is_last(self) -> bool:
        """Whether the sum is whole after it."""
        return self.number == self.stages - 1

    def add(self, raw: NDArray[np.float64], matrix: NDArray[np.float64], shard: NDArray[np.int64]) -> NDArray[np.float64]:
        """The sums of n requests with this stage's trees in them, float64[n, outputs].

        Args:
            raw: float64[n, outputs], of the stages before.
            matrix: float64[n, features].
            shard: int64[n], whose trees are asked.

        Raises:
            SettingError, DataError: The file of a shard is gone, or damaged.
        """
        total = raw.copy()
        for number, rows in self.boosters.groups(shard):
            if number in self.boosters.members:
                total[rows] += self.boosters.of(number).raw(matrix[rows])
        return total

    def score(self, raw: NDArray[np.float64], shard: NDArray[np.int64]) -> NDArray[np.float64]:
        """The scores of n requests after the last stage, float64[n, outputs]."""
        score = np.empty_like(raw)
        for number, rows in self.boosters.groups(shard):
            score[rows] = self.links[number].score(raw[rows])
        return score
