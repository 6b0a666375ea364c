"""A model by key: every request answered by the booster of its shard, or as the map says where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from inference.booster import predict
from inference.scores import Scores
from inference.shards.boosters import Boosters
from inference.shards.shard_map import PARENT, Missing, ShardMap


@dataclass(frozen=True, kw_only=True)
class Sharded:
    """The shards of a model.

    Attributes:
        map: Which shard answers which request.
        boosters: Of the shards that have a model; the map may have others.
        untrained: Shard → why it has none.
    """

    map: ShardMap
    boosters: Boosters = field(repr=False)
    untrained: Mapping[int, str] = field(default_factory=dict)

    def route(self, requests: pa.Table | pa.RecordBatch) -> NDArray[np.int64]:
        """The shard that can answer each request, int64[rows]; `PARENT` where none can."""
        shard = self.map.route(requests)
        trained = np.fromiter(self.boosters.members, dtype=np.int64, count=len(self.boosters.members))
        return np.where(np.isin(shard, trained), shard, PARENT)

    def score(self, matrix: NDArray[np.float64], requests: pa.Table | pa.RecordBatch, *, parent: lgb.Booster) -> Scores:
        """Score a batch, shard by shard: those in memory first, so that a batch of more shards than there is room for loads each once.

        Args:
            matrix: float64[n, features].
            requests: n rows with the fields of the shard key.
            parent: The whole model.

        Raises:
            SettingError, DataError: The file of a shard is gone, or damaged.
        """
        before = self.boosters.loads
        shard = self.route(requests)
        score = np.full(len(matrix), np.nan)
        refused = (shard == PARENT) & (self.map.missing is Missing.REFUSE)
        for number, rows in self._groups(shard):
            if number != PARENT:
                score[rows] = predict(self.boosters.of(number), matrix[rows])
            elif self.map.missing is Missing.PARENT:
                score[rows] = predict(parent, matrix[rows])
        return Scores(score=score, shard=shard, refused=refused, loads=self.boosters.loads - before)

    def _groups(self, shard: NDArray[np.int64]) -> Iterator[tuple[int, Any]]:
        """Each shard and its rows."""
        order = np.argsort(shard, kind="stable")
        numbers, begin = np.unique(shard[order], return_index=True)
        if len(numbers) == 1:
            yield int(numbers[0]), slice(None)
            return
        groups = dict(zip(numbers.tolist(), np.split(order, begin[1:]), strict=True))
        for number in sorted(groups, key=lambda number: number != PARENT and number not in self.boosters):
            yield number, groups[number]
