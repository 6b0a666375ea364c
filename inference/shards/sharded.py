"""A model by key: every request answered by the booster of its shard, or as the map says where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from inference.boosters.cache import Boosters
from inference.boosters.ensemble import Ensemble, predict
from inference.boosters.scores import Scores
from inference.shards.shard_map import PARENT, Missing, ShardMap


def route(map_: ShardMap, trained: Sequence[int], requests: pa.Table | pa.RecordBatch) -> NDArray[np.int64]:
    """The shard of each request, int64[rows]; `PARENT` where it has none, or one that has no model."""
    shard = map_.route(requests)
    return np.where(np.isin(shard, np.array(trained, dtype=np.int64)), shard, PARENT)


@dataclass(frozen=True, kw_only=True)
class ShardedModel:
    """The shards of a model.

    Attributes:
        map: Which shard answers which request.
        boosters: Of the shards that have a model; the map may have others.
        stages: How many the trees of each are cut into; they give the same bits together here as apart.
    """

    map: ShardMap
    boosters: Boosters = field(repr=False)
    stages: int = 1

    def route(self, requests: pa.Table | pa.RecordBatch) -> NDArray[np.int64]:
        """The shard that can answer each request, int64[rows]; `PARENT` where none can."""
        return route(self.map, list(self.boosters.members), requests)

    def score(self, matrix: NDArray[np.float64], requests: pa.Table | pa.RecordBatch, *, parent: Ensemble) -> Scores:
        """Score a batch, shard by shard.

        Args:
            matrix: float64[n, features].
            requests: n rows with the fields of the shard key.
            parent: The whole model.

        Raises:
            SettingError, DataError: The file of a shard is gone, or damaged.
        """
        before = self.boosters.loads
        shard = self.route(requests)
        score = np.full((len(matrix), parent.outputs), np.nan)
        refused = (shard == PARENT) & (self.map.missing is Missing.REFUSE)
        for number, rows in self.boosters.groups(shard):
            if number != PARENT:
                score[rows] = predict(self.boosters.of(number), matrix[rows], self.stages)
            elif self.map.missing is Missing.PARENT:
                score[rows] = predict(parent, matrix[rows], self.stages)
        return Scores(score=score, shard=shard, refused=refused, loads=self.boosters.loads - before)
