"""Requests → predictions, engine-free: what one batch of `jobs/score` is, and what any other way to serve asks.

bytes, tables or objects ─Decoder─▶ request table ─inference.predict─▶ predictions ─PredictionEncoder─▶ bytes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.plan import ServicePlan
from inference.gc_paused import gc_paused
from inference.online.reader import OnlineReader
from inference.online.requests import Requests
from inference.predict import Model, Predictions, predict
from inference.prediction import PredictionEncoder, Unscored, id_field
from inference.shards.partial_scores import PartialScores
from inference.shards.shard_map import PARENT
from schemas.errors import ServiceError
from schemas.wire import OK, Decoded, Decoder, now_ms

_Columns = Mapping[str, Sequence[Any]]


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
        """Answer records as they came from a topic, or as bytes from anywhere else: Avro or JSON, as the decoder tells them apart.

        Args:
            bodies: Record values; None is a tombstone.

        Raises:
            ServiceError: The online store or the schema registry does not answer. Nothing has been answered then.
        """
        return self._answer(self.decoder.decode(bodies))

    @gc_paused()
    def answer_table(self, requests: pa.Table) -> Answers:
        """Answer the rows of a table: each as the record with the same values is, refusals too.

        Args:
            requests: n rows; as of `Decoder.decode_table`.

        Raises:
            DataError: A column is missing, of another type, or has a value that its type cannot hold.
            ServiceError: The online store does not answer. Nothing has been answered then.
        """
        return self._answer(self.decoder.decode_table(requests))

    @gc_paused()
    def answer_one(self, request: Mapping[str, Any]) -> Answers:
        """Answer one request that is a JSON object already: as its text is, a refusal too.

        Args:
            request: Field → value, as of `Decoder.decode_objects`.

        Returns:
            Of n = 1.

        Raises:
            ServiceError: The online store does not answer.
        """
        return self._answer(self.decoder.decode_objects([request]))

    def _answer(self, decoded: Decoded) -> Answers:
        """Read features as of each request's event time, score, encode."""
        n = len(decoded.reasons)
        ids: list[bytes | None] = [None] * n
        values: list[bytes | None] = [None] * n
        reasons = list(decoded.reasons)
        good = np.flatnonzero(decoded.kind == OK)
        scored = self._scorable(decoded.columns, good, reasons)
        for part in scored:
            if len(part.rows) == n:
                ids, values = list(part.ids), list(part.values)
                continue
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
        made = predict(self.reader, self.model, _requests(self.service, columns, rows))
        refused = made.scores.refused
        for row in rows[refused].tolist():
            reasons[row] = "no-shard: no shard of the model has the request's key"
        answered = made.answered()
        ids = [str(identity).encode() for identity in answered.requests.values(id_field(self.service))]
        return _Scored(
            rows=rows[~refused],
            ids=ids,
            values=self._encoded(answered, ids),
            stale=int(answered.stale.sum()),
            unseen=int(np.any(list(answered.unseen.values()), axis=0).sum()) if answered.unseen else 0,
            missing_shard=int((made.scores.shard == PARENT).sum()),
            shard_loads=made.scores.loads,
        )

    def _encoded(self, made: Predictions, ids: Sequence[bytes]) -> list[bytes]:
        """The records of predictions, or what a later stage of the model is to go on with."""
        scores, time_ms = made.scores, made.requests.times_ms(self.service.request.event_time)
        assert time_ms is not None  # or nothing would have been read
        unscored = Unscored(
            request_id=ids,
            event_time_ms=time_ms,
            shard=scores.shard,
            features=made.features,
            request=made.requests,
            frontier_ms=made.frontier_ms,
            stale=made.stale,
            stale_age_ms=made.stale_age_ms,
            unseen=made.unseen,
        )
        if scores.matrix is None:
            return self.encoder.records(unscored, scores.score, scored_at_ms=self.now_ms())
        before, between = self.encoder.unscored(unscored)
        return PartialScores(shard=scores.shard, raw=scores.score, matrix=scores.matrix, before=before, between=between).pack()


@dataclass(frozen=True, kw_only=True)
class _Scored:
    rows: NDArray[np.int64]  # of the batch
    ids: list[bytes]
    values: list[bytes]
    stale: int
    unseen: int
    missing_shard: int
    shard_loads: int


def _requests(service: ServicePlan, columns: _Columns, rows: NDArray[np.int64]) -> Requests:
    """Some of the requests."""
    types = service.request.columns
    if len(rows) == len(columns[service.request.event_time]):
        return Requests(types, len(rows), columns)
    chosen = rows.tolist()
    return Requests(types, len(chosen), {name: [columns[name][row] for row in chosen] for name in types})
