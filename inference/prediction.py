"""Predictions on the wire: columns in, one Avro single-object record `prediction` for each row out.

Laid out column by column and written as machine code; the tests read it back with fastavro.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from features.columns.block import Block
from features.plan import ServicePlan
from inference.online.requests import Requests
from schemas.arrow_numbers import texts
from schemas.avro_writer import BOOLEAN, DOUBLE, LONG, NULL, STRING, Rows, Texts, joined, long, text
from schemas.errors import DefinitionError, SettingError
from schemas.schema import Schema
from schemas.types import DataType

_FIELDS = (
    "request_id",
    "event_time",
    "service",
    "service_version",
    "model",
    "model_version",
    "variant",
    "shard",
    "score",
    "scores",
    "features",
    "request",
    "frontier",
    "stale",
    "stale_age_ms",
    "unseen",
    "scored_at",
    "data_version",
    "code_version",
)
VARIANT = "champion"
"""Of a model that answers alone."""
_PRESENT = b"\x02"  # of a nullable field
_BRANCHES = {
    DataType.FLOAT64: DOUBLE,
    DataType.INT64: LONG,
    DataType.TIMESTAMP: LONG,
    DataType.BOOLEAN: BOOLEAN,
    DataType.STRING: STRING,
}


def told(score: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The fields `score` and `scores` of n predictions: of several outputs the highest, and all of them; of one that, and none.

    Args:
        score: float64[n, outputs].

    Returns:
        float64[n], and float64[n, outputs] or float64[n, 0].
    """
    if score.shape[1] == 1:
        return score[:, 0], score[:, 1:]
    return score.max(axis=1), score


def id_field(service: ServicePlan) -> str:
    """The field that identifies a request, and so its prediction.

    Raises:
        SettingError: The service's requests have none.
    """
    if service.request.id is None:
        raise SettingError(
            f'{service.name}: its request source "{service.request.name}" declares no id, by which predictions are known: Source(id=…)'
        )
    return service.request.id


@dataclass(frozen=True, kw_only=True)
class Unscored:
    """Predictions of n requests, but for what scoring adds.

    Attributes:
        request_id: n texts as UTF-8.
        event_time_ms: int64[n], as-of times.
        shard: int64[n], which shard of the model answers.
        features: n rows, columns in the order of the feature vector.
        request: n, the request's own fields.
        frontier_ms: The oldest frontier of the service's views; None before the first.
        stale: bool[n].
        stale_age_ms: int64[n].
        unseen: View → bool[n], whether its key was never seen.
    """

    request_id: Sequence[bytes]
    event_time_ms: NDArray[np.int64]
    shard: NDArray[np.int64]
    features: Block
    request: Requests
    frontier_ms: int | None
    stale: NDArray[np.bool_]
    stale_age_ms: NDArray[np.int64]
    unseen: Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class PredictionEncoder:
    """Encodes predictions of one service by one model.

    Attributes:
        schema: The built-in schema `prediction`.
        service: Name of the service.
        service_version: Fingerprint of its definitions.
        model: Name of the model.
        model_version: Which of its versions.
        data_version: Digest of the data version that the model was trained on; empty when not known.
        code_version: Of the code that scores.
        variant: Under which role of a rollout it answered.
    """

    schema: Schema
    service: str
    service_version: str
    model: str
    model_version: str
    data_version: str = ""
    code_version: str
    variant: str = VARIANT

    def __post_init__(self) -> None:
        """Refuse a schema that this encoder was not written for."""
        names = tuple(field["name"] for field in self.schema.avro["fields"])
        if names != _FIELDS:
            raise DefinitionError(
                f"{self.schema.path}: the fields are {', '.join(names)}; inference/prediction.py writes {', '.join(_FIELDS)}"
            )

    @cached_property
    def _head(self) -> bytes:
        return b"\xc3\x01" + self.schema.fingerprint

    @cached_property
    def _versions(self) -> bytes:
        texts = (self.service, self.service_version, self.model, self.model_version, self.variant)
        return b"".join(map(text, texts))

    @cached_property
    def _made_of(self) -> bytes:
        return text(self.data_version) + text(self.code_version)

    def records(self, made: Unscored, score: NDArray[np.float64], *, scored_at_ms: int) -> list[bytes]:
        """The records of n rows, in order.

        Args:
            made: Of n.
            score: float64[n, outputs].
            scored_at_ms: Now.
        """
        rows = Rows(len(score))
        self._before(rows, made)
        _scored(rows, score)
        self._between(rows, made)
        rows.same(long(scored_at_ms) + self._made_of)
        return rows.written()

    def unscored(self, made: Unscored) -> tuple[list[bytes], list[bytes]]:
        """The records of n rows but for what scoring adds: what is before the score, and what is between that and the time of scoring."""
        before, between = Rows(len(made.request_id)), Rows(len(made.request_id))
        self._before(before, made)
        self._between(between, made)
        return before.written(), between.written()

    def scored(self, before: Sequence[bytes], score: NDArray[np.float64], between: Sequence[bytes], *, scored_at_ms: int) -> list[bytes]:
        """The records of n rows, in order.

        Args:
            before: Of n, from `unscored`.
            score: float64[n, outputs].
            between: Of n, from `unscored`.
            scored_at_ms: Now.
        """
        after, rows = long(scored_at_ms) + self._made_of, Rows(len(score))
        _scored(rows, score)
        return [b"".join((*row, after)) for row in zip(before, rows.written(), between, strict=True)]

    def _before(self, rows: Rows, made: Unscored) -> None:
        rows.same(self._head)
        rows.texts(made.request_id)
        rows.longs(made.event_time_ms)
        rows.same(self._versions)
        rows.longs(made.shard)

    def _between(self, rows: Rows, made: Unscored) -> None:
        features, request = made.features, made.request
        branches = _branches(tuple(features.columns.types.items()))
        rows.map(branches, features.bits, features.valid, [texts(features[name].arrow(DataType.STRING)) for name in features.columns.texts])
        rows.map(_branches(tuple(request.types.items())), *_fields(request))
        rows.same(NULL if made.frontier_ms is None else _PRESENT + long(made.frontier_ms))
        rows.booleans(made.stale)
        rows.longs(made.stale_age_ms)
        rows.names(made.unseen)


@lru_cache(maxsize=256)
def _branches(types: tuple[tuple[str, DataType], ...]) -> tuple[tuple[str, bytes], ...]:
    """Of each field which it is of the union that the map has."""
    return tuple((name, _BRANCHES[type_]) for name, type_ in types)


def _fields(request: Requests) -> tuple[NDArray[np.int64], NDArray[np.bool_], list[Texts]]:
    """A request's fields, as `Rows.map` takes them."""
    numbers, valid = (
        np.zeros((len(request.types), len(request)), dtype=np.int64),
        np.ones((len(request.types), len(request)), dtype=np.bool_),
    )
    words = []
    for place, (name, type_) in enumerate(request.types.items()):
        if type_ is DataType.STRING:
            values = request.values(name)
            words.append(joined([b"" if value is None else value.encode() for value in values]))
            if None in values:
                valid[place] = [value is not None for value in values]
        else:
            numbers[place], there = request.bits(name)
            if there is not None:
                valid[place] = there
    return numbers, valid, words


def _scored(rows: Rows, score: NDArray[np.float64]) -> None:
    """The fields `score` and `scores`."""
    one, several = told(score)
    rows.doubles(one)
    rows.double_arrays(several)
