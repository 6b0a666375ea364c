"""A model in memory: the whole, and for a model by key the shards that are needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.plan import ServicePlan
from inference.boosters.booster import LOAD_DEADLINE_S, parse, read, try_in_a_child
from inference.boosters.cache import SHARD_MEMORY_BYTES, Boosters
from inference.boosters.ensemble import Ensemble, ensemble, predict
from inference.boosters.scores import Scores
from inference.model.encoding import Encoding
from inference.model.manifest import MODEL_FILE, Manifest
from inference.online.requests import Requests
from inference.shards.sharded import ShardedModel


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that may be asked. Not to be shared by threads, nor taken over a fork: load it where it is used.

    Attributes:
        manifest: What it says of itself.
        trees: Of the whole model.
        shards: The models that answer in its place, by key; None of a model in one piece.
    """

    manifest: Manifest
    trees: Ensemble = field(repr=False)
    shards: ShardedModel | None = None

    @property
    def version(self) -> str:
        """Of the files and of how they are cut."""
        return self.manifest.version

    def predict(self, table: pa.Table | pa.RecordBatch) -> NDArray[np.float64]:
        """The whole model's score of every row, float64[rows], or those of its classes, float64[rows, classes], as `lightgbm.Booster.predict` gives them.

        Columns are found by name, others passed over.

        Raises:
            DataError: A feature is missing, or of another type.
        """
        score = predict(self.trees, self.encoding.matrix(table), max(1, len(self.manifest.stages)))
        return score if self.manifest.outputs > 1 else score[:, 0]

    @property
    def encoding(self) -> Encoding:
        """What makes features its matrix."""
        return self.manifest.encoding

    def score_table(self, features: pa.Table, requests: pa.Table) -> Scores:
        """As `score`, of features in a table; columns are found by name, others passed over.

        Raises:
            DataError: A feature is missing, or of another type.
        """
        return self.score(self.encoding.matrix(features), Requests.of_table(requests, {}))

    def score(self, matrix: NDArray[np.float64], requests: Requests) -> Scores:
        """The answers to n requests, each by the shard whose key it has.

        Args:
            matrix: float64[n, features], as `encoding` makes it.
            requests: n, with the fields of the shard key.

        Raises:
            SettingError: A shard's file is not there any more.
            DataError: It is damaged.
        """
        if self.shards is None:
            return Scores.of_one(predict(self.trees, matrix, max(1, len(self.manifest.stages))))
        return self.shards.score(matrix, requests.table, parent=self.trees)


def load_for(service: ServicePlan, folder: Path, *, shard_memory_bytes: int = SHARD_MEMORY_BYTES) -> LoadedModel:
    """Load the model that is to answer a service's requests, and each of its shards once.

    Raises:
        SettingError: As `load`; or it was made for another service or other definitions.
        DataError: As `load`, and of every shard.
    """
    loaded = load(folder, shard_memory_bytes=shard_memory_bytes)
    loaded.manifest.refuse_others(service)
    if loaded.shards is not None:
        loaded.shards.boosters.load_each()
    return loaded


def load(
    folder: Path, *, version: str | None = None, deadline_s: float = LOAD_DEADLINE_S, shard_memory_bytes: int = SHARD_MEMORY_BYTES
) -> LoadedModel:
    """Load a model that was checked: manifest, sha256, then a child process that parses it, then this one. Shards follow when they are needed.

    Args:
        folder: Where it is.
        version: Which one a job was started with; any when None.
        deadline_s: For the child.
        shard_memory_bytes: For the shards that are in memory at a time.

    Raises:
        SettingError: There is no such folder, or it is no model's, or it holds another version; or a shard alone is larger than its memory.
        DataError: The manifest or the model file is damaged.
    """
    manifest = Manifest.read(folder)
    path = folder / MODEL_FILE
    content = read(path, manifest.sha256)
    manifest.refuse_another(version)
    try_in_a_child(content, manifest.shape, path, deadline_s=deadline_s)
    sharded = None
    if manifest.map is not None:
        boosters = Boosters(manifest.shards, shape=manifest.shape, budget_bytes=shard_memory_bytes)
        sharded = ShardedModel(map=manifest.map, boosters=boosters, stages=max(1, len(manifest.stages)))
    return LoadedModel(manifest=manifest, trees=ensemble(parse(content, path), path), shards=sharded)
