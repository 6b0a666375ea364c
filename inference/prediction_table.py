"""Predictions as columns: what `predictions.parquet` looks like, whoever writes it."""

from __future__ import annotations

import pyarrow as pa

from features.plan import ServicePlan
from schemas.types import DataType

REQUEST_ID, EVENT_TIME = "request_id", "event_time"
FRONTIER, STALE = "frontier", "stale"
ASKED = {REQUEST_ID: DataType.STRING.arrow, EVENT_TIME: DataType.TIMESTAMP.arrow}
SCORES = "scores"
SAID = {
    "score": pa.float64(),
    SCORES: pa.list_(pa.float64()),
    "model_version": pa.string(),
    "variant": pa.string(),
    "shard": pa.int64(),
    FRONTIER: DataType.TIMESTAMP.arrow,
    STALE: pa.bool_(),
}


def schema_of(service: ServicePlan, *, several: bool = False) -> pa.Schema:
    """Request id, event time, the request's fields, the features, then what the model said; `scores` of a model of several outputs only."""
    request = {name: type_.arrow for name, type_ in service.request.columns.items() if name not in ASKED}
    features = {name: type_.arrow for name, type_ in service.feature_types.items()}
    said = {name: type_ for name, type_ in SAID.items() if several or name != SCORES}
    return pa.schema(list((ASKED | request | features | said).items()))
