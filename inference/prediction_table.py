"""Predictions as columns: what `predictions.parquet` looks like, whoever writes it."""

from __future__ import annotations

from features.compiler.plan import ServicePlan
from schemas.types import DataType

REQUEST_ID, EVENT_TIME = "request_id", "event_time"
FRONTIER, STALE = "frontier", "stale"
ASKED = {REQUEST_ID: DataType.STRING, EVENT_TIME: DataType.TIMESTAMP}
SAID = {
    "score": DataType.FLOAT64,
    "model_version": DataType.STRING,
    "variant": DataType.STRING,
    "shard": DataType.INT64,
    FRONTIER: DataType.TIMESTAMP,
    STALE: DataType.BOOLEAN,
}


def columns_of(service: ServicePlan) -> dict[str, DataType]:
    """Request id, event time, the request's fields, the features, then what the model said."""
    request = {name: type_ for name, type_ in service.request.columns.items() if name not in ASKED}
    return ASKED | request | service.feature_types | SAID
