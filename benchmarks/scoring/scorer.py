"""All that a worker of the score job holds, for those who score without one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.scoring import inputs
from inference.model.loading import load
from inference.online.connection import connect
from inference.online.reader import OnlineReader
from inference.prediction import PredictionEncoder
from inference.scorer import Scorer
from schemas.machine_code import keep_in
from schemas.schema import SchemaSet
from schemas.wire import Decoder


def scorer(model: Path, redis: str) -> Scorer:
    """Of the benchmarks' service."""
    keep_in(model.with_name("machine-code"))
    service, loaded, schemas = inputs.service(), load(model), SchemaSet.load(inputs.SCHEMAS)
    decoder = Decoder(schemas, service.request.schema, event_time="event_time", required=("request_id",), max_ahead_ms=300_000)
    encoder = PredictionEncoder(
        schema=schemas.current("prediction"),
        service=service.name,
        service_version=service.fingerprint,
        model=loaded.manifest.name,
        model_version=loaded.version,
        code_version="bench",
    )
    return Scorer(service=service, decoder=decoder, reader=OnlineReader(service, connect(redis)), model=loaded, encoder=encoder)
