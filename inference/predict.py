"""The core of scoring, whatever the requests came as and whatever their predictions become.

request table ─OnlineReader─▶ feature table ─model─▶ Predictions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.plan import ServicePlan
from inference.boosters.scores import Scores
from inference.online.reader import OnlineReader
from schemas.arrow_numbers import whole
from schemas.types import DataType


class Model(Protocol):
    """What is asked of a model: `inference.model.loading.LoadedModel` has it, and `inference.stages.FirstStage`."""

    def score(self, features: pa.Table, requests: pa.Table) -> Scores:
        """The answer to every row; the columns are found by name."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Of n requests, in their order.

    Attributes:
        requests: n rows, the request's own fields.
        features: n rows, columns in the order of the feature vector.
        scores: What the model said; a row that it refused has no prediction.
        frontier: Of times, n: the oldest frontier of the service's views; null before the first.
        stale: bool[n], whether features are older than an exact read's.
        stale_age_ms: int64[n], by how much.
        unseen: View → bool[n], whether its key was never seen.
    """

    requests: pa.Table
    features: pa.Table
    scores: Scores
    frontier: pa.Array[Any]
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
            frontier=self.frontier.take(kept),
            stale=self.stale[kept],
            stale_age_ms=self.stale_age_ms[kept],
            unseen={view: flags[kept] for view, flags in self.unseen.items()},
        )


def predict(service: ServicePlan, reader: OnlineReader, model: Model, requests: pa.Table) -> Predictions:
    """Read the features of n requests, each as of its event time, and ask the model.

    Args:
        service: Whose requests.
        reader: Of its features.
        model: Its model.
        requests: n rows with the fields of the request's schema in their types.

    Raises:
        ServiceError: The online store does not answer.
        SettingError: A shard's file is not there any more.
        DataError: It is damaged, or a stored value is.
    """
    served = reader.read(requests)
    features, scores = ask(service, model, served.table, requests)
    return Predictions(
        requests=requests,
        features=features,
        scores=scores,
        frontier=whole(served.table.column("frontier")),
        stale=served.table.column("stale").to_numpy().astype(bool),
        stale_age_ms=served.stale_age_ms,
        unseen=served.unseen,
    )


def ask(service: ServicePlan, model: Model, served: pa.Table, requests: pa.Table) -> tuple[pa.Table, Scores]:
    """Ask a model about n requests whose features are there.

    Args:
        service: Whose features.
        model: Its model.
        served: n rows, the features among their columns.
        requests: n rows, with the fields of the model's shard key.

    Returns:
        The feature vectors, n rows in the order and types of the service, and what the model said of them.

    Raises:
        SettingError, DataError: As of `predict`.
    """
    vector = _vector(tuple(service.feature_types.items()))
    features = served.select(vector.names)
    if not features.schema.equals(vector):
        features = features.cast(vector)
    return features, model.score(features, requests)


@lru_cache(maxsize=64)
def _vector(types: tuple[tuple[str, DataType], ...]) -> pa.Schema:
    return pa.schema([pa.field(name, type_.arrow) for name, type_ in types])
