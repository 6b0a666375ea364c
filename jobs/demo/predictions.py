"""The predictions topic as a table, and what then happened beside it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from features.compiler.plan import LabelPlan, ServicePlan
from schemas.record import SchemaSet
from schemas.types import DataType
from schemas.wire import read_object

_OWN = {
    "score": DataType.FLOAT64,
    "model_version": DataType.STRING,
    "variant": DataType.STRING,
    "shard": DataType.INT64,
    "frontier": DataType.TIMESTAMP,
    "stale": DataType.BOOLEAN,
}


def prediction_table(service: ServicePlan, schemas: SchemaSet, bodies: Iterable[bytes]) -> pa.Table:
    """Predictions as columns: request id, event time, the request's fields, the features, then what the model said.

    Args:
        service: Whose predictions.
        schemas: With the built-in schema `prediction`.
        bodies: Records as they are in the topic.

    Raises:
        DataError: A record that is not a prediction.
    """
    request = service.request.columns
    own = {"request_id": DataType.STRING, "event_time": DataType.TIMESTAMP}
    types = own | {name: type_ for name, type_ in request.items() if name not in own} | service.feature_types | _OWN
    columns: dict[str, list[Any]] = {name: [] for name in types}
    for body in bodies:
        _, record = read_object(schemas, body)
        values = record["request"] | record["features"] | {name: record[name] for name in (*own, *_OWN)}
        for name, column in columns.items():
            column.append(_plain(values[name]))
    return pa.table({name: pa.array(column, type=types[name].arrow) for name, column in columns.items()})


def _plain(value: Any) -> Any:
    """Times are ms, as in the maps of features and request fields."""
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


def happened(label: LabelPlan, events: pa.Table, ids: pa.ChunkedArray[Any]) -> list[bool | None]:
    """What then happened to each request, null where no event says.

    Args:
        label: Of the service.
        events: Of the label's source.
        ids: Of the requests.
    """
    known = dict(zip(events[label.on].to_pylist(), label.value.evaluate(events).to_pylist(), strict=True))
    return [known.get(identity) for identity in ids.to_pylist()]


def latencies_ms(asked_ns: dict[str, int], answered_ns: Iterable[tuple[str, int]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """From publishing each request to reading its first prediction."""
    first: dict[str, int] = {}
    for identity, read_ns in answered_ns:
        first.setdefault(identity, read_ns)
    return np.array([(first[identity] - asked) / 1e6 for identity, asked in asked_ns.items() if identity in first], dtype=np.float64)
