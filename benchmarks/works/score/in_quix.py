"""Quix Streams, a function for each request: `python in_quix.py READER MODEL FOLDER REDIS SERVERS REQUESTS PREDICTIONS`, in the peer's environment.

READER `tiles` is our reader and encoder with one request at a time; `plain` is what one would write without them: plain values from one `MGET`,
`Booster.predict`, fastavro. Offsets are committed as Quix does unless one says otherwise; ends when it is terminated.
Its state, which nothing here uses, goes to FOLDER.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import orjson
from fastavro import schemaless_reader, schemaless_writer
from fastavro.schema import parse_schema
from quixstreams import Application

from benchmarks.scoring import inputs
from benchmarks.scoring.plain import key_of
from benchmarks.scoring.scorer import scorer
from inference.model.manifest import MODEL_FILE, Manifest
from inference.online.redis.connection import connect
from schemas.schema import SchemaSet

Answer = Callable[[bytes], bytes | None]
HEADER_BYTES = 10


def by_tiles(model: Path, redis: str) -> Answer:
    """All that the score job does, for one request."""
    scoring = scorer(model, redis)
    return lambda body: scoring.answer([body]).values[0]


def by_plain_values(model: Path, redis: str) -> Answer:
    """The values that somebody has computed beforehand, scored."""
    service, schemas, manifest = inputs.service(), SchemaSet.load(inputs.SCHEMAS), Manifest.read(model)
    request, prediction = schemas.current(service.request.schema), schemas.current("prediction")
    asked, answered = parse_schema(dict(request.avro)), parse_schema(dict(prediction.avro))
    booster, client, names = lgb.Booster(model_file=model / MODEL_FILE), connect(redis), list(service.feature_types)
    views = {view.name: [column.name for column in view.keys] for view in service.views}
    told = {"service": service.name, "service_version": service.fingerprint, "model": manifest.name, "model_version": manifest.version}
    same = {"variant": "champion", "shard": 0, "frontier": inputs.NOON_MS, "stale": False, "stale_age_ms": 0, "unseen": []}

    def answer(body: bytes) -> bytes:
        given = schemaless_reader(io.BytesIO(body[HEADER_BYTES:]), asked, None)
        assert isinstance(given, dict)
        features: dict[str, float | None] = {}
        values: Any = client.mget([key_of(view, *(given[key] for key in keys)) for view, keys in views.items()])
        for value in values:
            features |= orjson.loads(value)
        row = np.array([[features[name] for name in names]], dtype=np.float64)
        (score,) = booster.predict(row, num_threads=1)
        asked_at = int(given["event_time"].timestamp() * 1000)
        record = {
            "request_id": given["request_id"],
            "event_time": asked_at,
            "score": float(score),
            "scored_at": time.time_ns() // 1_000_000,
        }
        out = io.BytesIO(b"\xc3\x01" + prediction.fingerprint)
        out.seek(HEADER_BYTES)
        schemaless_writer(out, answered, {**told, **same, **record, "features": features, "request": {**given, "event_time": asked_at}})
        return out.getvalue()

    return answer


READERS = {"tiles": by_tiles, "plain": by_plain_values}


def main(reader: str, model: Path, folder: Path, redis: str, servers: str, requests: str, predictions: str) -> None:
    """Answer requests, one by one."""
    app = Application(
        broker_address=servers,
        consumer_group=f"quix-{time.time_ns()}",
        auto_offset_reset="earliest",
        state_dir=folder / "state",
        loglevel="WARNING",
    )
    asked = app.topic(requests, value_deserializer="bytes")
    answered = app.topic(predictions, value_serializer="bytes")
    app.dataframe(asked).apply(READERS[reader](model, redis)).to_topic(answered)
    app.run()


if __name__ == "__main__":
    reader, model, folder, *services = sys.argv[1:]
    main(reader, Path(model), Path(folder), *services)
