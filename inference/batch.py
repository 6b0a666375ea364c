"""History's features scored by the model that scores the stream, table by table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.plan import ServicePlan
from inference.boosters.cache import SHARD_MEMORY_BYTES
from inference.model.loading import LoadedModel, load
from inference.model.manifest import Manifest
from inference.prediction import VARIANT, id_field, told
from inference.prediction_table import EVENT_TIME, REQUEST_ID, SCORES, schema_of
from schemas.machine_code import keep_in


@dataclass(frozen=True, kw_only=True)
class BatchScorer:
    """Scores tables of features. Picklable: each process that scores loads the model itself, once, checked as everywhere.

    Attributes:
        service: Whose features.
        model: Folder of its model, the same for all processes.
        version: Of that model; another one that has taken its place is refused.
        shard_memory_bytes: For the shards that a process holds at a time.
        machine_code: Folder that keeps what a process compiles for the next; None: nothing is kept.
    """

    service: ServicePlan
    model: Path
    version: str
    shard_memory_bytes: int = SHARD_MEMORY_BYTES
    machine_code: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a service whose predictions could not be told apart."""
        id_field(self.service)

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the predictions."""
        return schema_of(self.service, several=Manifest.read(self.model).outputs > 1)

    def score(self, table: pa.Table) -> pa.Table:
        """Predictions of n requests.

        Args:
            table: n rows: the request's fields, the features, `frontier` and `stale`.

        Returns:
            n rows of `schema`; where the stream refuses a request for want of a shard, its scores are null.

        Raises:
            TidemarkError: The model is damaged, or another one than was checked.
        """
        keep_in(self.machine_code)
        model = _loaded(self.model, self.version, self.shard_memory_bytes)
        scores = model.score_table(table, table)
        n = len(table)
        said = {
            REQUEST_ID: table.column(id_field(self.service)).cast(pa.string()),
            EVENT_TIME: table.column(self.service.request.event_time),
            **_score_columns(scores.score, scores.refused),
            "model_version": pa.repeat(model.version, n),
            "variant": pa.repeat(VARIANT, n),
            "shard": pa.array(scores.shard),
        }
        columns = dict(zip(table.column_names, table.columns, strict=True)) | said
        return pa.table([columns[name] for name in self.schema.names], names=self.schema.names).cast(self.schema)


def _score_columns(score: NDArray[np.float64], refused: NDArray[np.bool_]) -> dict[str, pa.Array[Any]]:
    """`score` and `scores` of n predictions; both null where refused.

    Args:
        score: float64[n, outputs].
        refused: bool[n].
    """
    one, several = told(score)
    ends = np.arange(len(score) + 1, dtype=np.int32) * several.shape[1]
    scores = pa.ListArray.from_arrays(pa.array(ends), pa.array(several.ravel()), mask=pa.array(refused))
    return {"score": pa.array(one, mask=refused), SCORES: scores}


@lru_cache(maxsize=1)
def _loaded(folder: Path, version: str, shard_memory_bytes: int) -> LoadedModel:
    return load(folder, version=version, shard_memory_bytes=shard_memory_bytes)
