"""Requests → predictions, engine-free: what one batch of `jobs/score` is.

bytes ─Decoder─▶ request table ─OnlineReader─▶ feature table ─model─▶ scores ─PredictionEncoder─▶ bytes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.plan import ServicePlan
from inference.boosters.scores import Scores
from inference.gc_paused import gc_paused
from inference.online.reader import OnlineReader
from inference.prediction import PredictionEncoder, id_field
from inference.shards.partial_scores import PartialScores
from inference.shards.shard_map import PARENT
from schemas.errors import ServiceError
from schemas.types import DataType
from schemas.wire import OK, Decoder, now_ms

_Columns = Mapping[str, Sequence[Any]]


class Model(Protocol):
    """What the scorer asks of a model: `inference.model.loading.LoadedModel` has it, and `inference.stages.FirstStage`."""

    def score(self, features: pa.Table, requests: pa.Table) -> Scores:
        """The answer to every row; the columns are found by name."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What became of a batch of n records, in their order.

    A prediction has an id and a value, a refused record a reason, a marker neither.

    Attributes:
        ids: Request ids as UTF-8, the predictions' Kafka keys.
        values: The encoded predictions; of a model whose later trees are other workers', what is handed on to them.
        reasons: Why a record goes to the dead letters.
        stale: How many predictions were made with features older than an exact read's.
        unseen: How many were made with a key that some view never saw.
        missing_shard: How many requests had no shard of the model: answered by its parent, or refused.
        shard_loads: How many shards were loaded for the batch.
    """

    ids: list[bytes | None]
    values: list[bytes | None]
    reasons: list[str | None]
    stale: int = 0
    unseen: int = 0
    missing_shard: int = 0
    shard_loads: int = 0

    @property
    def predictions(self) -> int:
        """How many requests were answered."""
        return sum(value is not None for value in self.values)

    @property
    def dead_letters(self) -> int:
        """How many records were refused."""
        return sum(reason is not None for reason in self.reasons)


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Answers batches of raw requests.

    Attributes:
        service: Its plan.
        decoder: Of the service's request source.
        reader: Of the service's features.
        model: Its model.
        encoder: Of its predictions.
        now_ms: The clock of `scored_at`.
    """

    service: ServicePlan
    decoder: Decoder
    reader: OnlineReader
    model: Model
    encoder: PredictionEncoder
    now_ms: Callable[[], int] = now_ms

    @gc_paused()
    def answer(self, bodies: Sequence[bytes | None]) -> Answers:
        """Decode, read features as of each request's event time, score, encode.

        Args:
            bodies: Record values as they came; None is a tombstone.

        Raises:
            ServiceError: The online store or the schema registry does not answer. Nothing has been answered then.
        """
        decoded = self.decoder.decode(bodies)
        n = len(bodies)
        ids: list[bytes | None] = [None] * n
        values: list[bytes | None] = [None] * n
        reasons = list(decoded.reasons)
        good = np.flatnonzero(decoded.kind == OK)
        scored = self._scorable(decoded.columns, good, reasons)
        for part in scored:
            for row, key, value in zip(part.rows.tolist(), part.ids, part.values, strict=True):
                ids[row], values[row] = key, value
        return Answers(
            ids=ids,
            values=values,
            reasons=reasons,
            stale=sum(part.stale for part in scored),
            unseen=sum(part.unseen for part in scored),
            missing_shard=sum(part.missing_shard for part in scored),
            shard_loads=sum(part.shard_loads for part in scored),
        )

    def _scorable(self, columns: _Columns, rows: NDArray[np.int64], reasons: list[str | None]) -> list[_Scored]:
        """Score some requests; one that cannot be scored costs no other its answer, and says why among the reasons."""
        if not len(rows):
            return []
        try:
            return [self._score(columns, rows, reasons)]
        except ServiceError:
            raise
        except Exception as fault:  # whatever a value, of the request or of the store, leads a library to
            if len(rows) == 1:
                reasons[int(rows[0])] = f"unscorable: {type(fault).__name__}: {' '.join(str(fault).split())}"
                return []
        half = len(rows) // 2
        return self._scorable(columns, rows[:half], reasons) + self._scorable(columns, rows[half:], reasons)

    def _score(self, columns: _Columns, rows: NDArray[np.int64], reasons: list[str | None]) -> _Scored:
        requests = _requests(self.service, columns, rows)
        served = self.reader.read(requests)
        features = served.table.select(list(self.service.feature_types))
        scores = self.model.score(features, requests)
        stale, frontier = served.table.column("stale").to_numpy().astype(bool), served.table.column("frontier").cast(pa.int64())
        answered = np.flatnonzero(~scores.refused)
        if len(answered) < len(rows):
            for row in rows[scores.refused].tolist():
                reasons[row] = "no-shard: no shard of the model has the request's key"
            features, requests, frontier = features.take(answered), requests.take(answered), frontier.take(answered)
        ids = [str(identity) for identity in requests.column(id_field(self.service)).to_pylist()]
        unseen = {view: flags[answered] for view, flags in served.unseen.items()}
        before, between = self.encoder.unscored(
            request_id=ids,
            event_time_ms=requests.column(self.service.request.event_time).cast(pa.int64()).to_numpy(),
            shard=scores.shard[answered],
            features=features,
            request=requests,
            frontier_ms=frontier.to_pylist(),
            stale=stale[answered],
            stale_age_ms=served.stale_age_ms[answered],
            unseen=unseen,
        )
        score, matrix = scores.score[answered], scores.matrix
        if matrix is None:
            values = self.encoder.scored(before, score, between, scored_at_ms=self.now_ms())
        else:
            shard = scores.shard[answered]
            values = PartialScores(shard=shard, raw=score, matrix=matrix[answered], before=before, between=between).pack()
        return _Scored(
            rows=rows[answered],
            ids=[key.encode() for key in ids],
            values=values,
            stale=int(stale[answered].sum()),
            unseen=int(np.any(list(unseen.values()), axis=0).sum()) if unseen else 0,
            missing_shard=int((scores.shard == PARENT).sum()),
            shard_loads=scores.loads,
        )


@dataclass(frozen=True, kw_only=True)
class _Scored:
    rows: NDArray[np.int64]  # of the batch
    ids: list[bytes]
    values: list[bytes]
    stale: int
    unseen: int
    missing_shard: int
    shard_loads: int


def _requests(service: ServicePlan, columns: _Columns, rows: NDArray[np.int64]) -> pa.Table:
    """Some of the requests as a table of the schema's types."""
    chosen = rows.tolist()

    def column(name: str, type_: DataType) -> pa.Array[Any]:
        values = columns[name]
        return pa.array([values[row] for row in chosen], type=type_.arrow)

    return pa.table({name: column(name, type_) for name, type_ in service.request.columns.items()})
