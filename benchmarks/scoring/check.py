"""Whether the predictions are right: one for each request, as of its time, with the score that the model gives to the features that it names."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fastavro import schemaless_reader

from benchmarks.benchmark import WrongAnswerError
from benchmarks.scoring import inputs
from inference.model.loading import load
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from schemas.schema import SchemaSet

SAMPLE = 2_000
_HEADER_BYTES = 10


def right(servers: str, topic: str, model: Path, count: int, truth: pa.Table) -> None:
    """Compare what a topic holds with the requests, and a sample of it with the features that were served to nobody else.

    Raises:
        WrongAnswerError: A prediction is missing, or twice there, stale, or of other features or another score.
    """
    found = list(messages(Connection(servers=servers), topic))
    ids = {(message.key() or b"").decode() for message in found}
    if len(found) != count or ids != {f"r{number}" for number in range(count)}:
        raise WrongAnswerError(f"{len(found):,} predictions of {len(ids):,} requests, expected one of each of {count:,}")
    answers([message.value() for message in sorted(found, key=lambda message: int((message.key() or b"r0")[1:]))], model, truth)


def answers(predictions: Sequence[bytes | None], model: Path, truth: pa.Table) -> None:
    """Compare a sample of encoded predictions with the features that were served for their requests, row by row.

    Raises:
        WrongAnswerError: One is missing, or stale, or of other features or another score.
    """
    if len(predictions) != len(truth):
        raise WrongAnswerError(f"{len(predictions):,} predictions of {len(truth):,} requests")
    loaded, service = load(model), inputs.service()
    chosen = np.random.default_rng(inputs.SEED).choice(len(truth), min(SAMPLE, len(truth)), replace=False)
    records = decoded([predictions[row] or b"" for row in chosen.tolist()])
    if any(record["stale"] or record["unseen"] for record in records):
        raise WrongAnswerError("a prediction is stale, or of a key that was never seen")
    names = list(service.feature_types)
    features = pa.table(
        {name: pa.array([record["features"][name] for record in records], type=service.feature_types[name].arrow) for name in names}
    )
    asked = truth.take(chosen)
    if asked["request_id"].to_pylist() != [record["request_id"] for record in records]:
        raise WrongAnswerError("predictions of other requests")
    if not features.equals(asked.select(names).cast(features.schema)):
        raise WrongAnswerError("features that are not those of the request")
    if not np.array_equal(loaded.predict(features), [record["score"] for record in records]):
        raise WrongAnswerError("scores that are not the model's")


def scores(file: Path, model: Path, truth: pa.Table) -> None:
    """Compare scores, in the order of the requests.

    Raises:
        WrongAnswerError: They are not the model's.
    """
    if not np.array_equal(np.load(file), load(model).predict(truth)):
        raise WrongAnswerError("scores that are not the model's")


def decoded(predictions: Iterable[bytes]) -> list[dict[str, Any]]:
    """Predictions as fastavro reads them."""
    schema = dict(SchemaSet.load(inputs.SCHEMAS).current("prediction").avro)
    records: list[Any] = [schemaless_reader(io.BytesIO(body[_HEADER_BYTES:]), schema, None) for body in predictions]
    return records
