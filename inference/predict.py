"""The core of scoring, whatever the requests came as and whatever their predictions become.

requests ─OnlineReader─▶ feature vectors ─Encoding─▶ matrix ─model─▶ Predictions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.columns.block import Block
from inference.boosters.scores import Scores
from inference.model.encoding import Encoding
from inference.online.reader import OnlineReader
from inference.online.requests import Requests


class Model(Protocol):
    """What is asked of a model: `inference.model.loading.LoadedModel` has it, and `inference.stages.FirstStage`."""

    @property
    def encoding(self) -> Encoding:
        """What makes features its matrix."""

    def score(self, matrix: NDArray[np.float64], requests: Requests) -> Scores:
        """The answer to every row."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Of n requests, in their order.

    Attributes:
        requests: n, the request's own fields.
        features: n rows, columns in the order of the feature vector.
        scores: What the model said; a row that it refused has no prediction.
        frontier_ms: The oldest frontier of the service's views; None before the first.
        stale: bool[n], whether features are older than an exact read's.
        stale_age_ms: int64[n], by how much.
        unseen: View → bool[n], whether its key was never seen.
    """

    requests: Requests
    features: Block
    scores: Scores
    frontier_ms: int | None
    stale: NDArray[np.bool_]
    stale_age_ms: NDArray[np.int64]
    unseen: Mapping[str, NDArray[np.bool_]]

    def answered(self) -> Predictions:
        """Without the rows that the model refused."""
        refused = self.scores.refused
        if not refused.any():
            return self
        kept = np.flatnonzero(~refused)
        return Predictions(
            requests=self.requests.take(kept),
            features=self.features.take(kept),
            scores=self.scores.take(kept),
            frontier_ms=self.frontier_ms,
            stale=self.stale[kept],
            stale_age_ms=self.stale_age_ms[kept],
            unseen={view: flags[kept] for view, flags in self.unseen.items()},
        )


def predict(reader: OnlineReader, model: Model, requests: Requests) -> Predictions:
    """Read the features of n requests, each as of its event time, and ask the model.

    Args:
        reader: Of the service's features.
        model: Its model.
        requests: n.

    Raises:
        ServiceError: The online store does not answer.
        SettingError: A shard's file is not there any more.
        DataError: It is damaged, or a stored value is.
    """
    served = reader.read(requests)
    features = served.vector
    return Predictions(
        requests=requests,
        features=features,
        scores=model.score(model.encoding.matrix_of(features), requests),
        frontier_ms=served.frontier_ms,
        stale=served.stale,
        stale_age_ms=served.stale_age_ms,
        unseen=served.unseen,
    )
