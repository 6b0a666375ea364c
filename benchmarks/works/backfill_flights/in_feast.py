"""Asks Feast for the training set: `python in_feast.py file|duckdb VALUES REQUESTS.parquet OUT`, in the peer's environment; `calls.json` tells
each call's seconds.

VALUES are those that `inputs.py` writes. `duckdb` is Feast's DuckDB offline store: all requests in one call. `file` is its default store. That one
pairs every request with every row of the same key before it looks at the time, which would be some ten billion pairs for a year, so requests and
values are cut into parts, a call for each. It also keeps only one of the requests that agree in all keys joined so far and in time: hence aircraft
come first.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float64, Int64
from feast.value_type import ValueType

KEYS = {"aircraft": ["tailnum"], "carrier": ["carrier", "origin"], "dest": ["dest"], "origin": ["origin"]}
"""View → its keys; the names of its features begin with the view's."""
TILE = timedelta(minutes=5)


def main(kind: str, values: Path, requests: Path, out: Path) -> None:
    """Write the training set, a file per call."""
    offline = {"type": "dask" if kind == "file" else kind}
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(out / "registry.db"),
        offline_store=offline,
        online_store=None,  # otherwise Feast makes one, data/online.db of the working directory
        entity_key_serialization_version=3,
    )
    asked = pq.read_table(requests).to_pandas()
    store = FeatureStore(config=config)
    calls = []
    for name, part in [("all", asked)] if kind == "duckdb" else asked.groupby("part"):
        views = [_view(view, values / view / f"{name}.parquet") for view in KEYS]
        store.apply([*_entities().values(), *views])
        names = [f"{view.name}:{field.name}" for view in views for field in view.features]
        started = time.monotonic()
        found = store.get_historical_features(entity_df=pd.DataFrame(part), features=names).to_arrow()
        pq.write_table(found, out / f"{name}.parquet")
        calls.append(time.monotonic() - started)
    (out / "calls.json").write_text(json.dumps(calls))


def _entities() -> dict[str, Entity]:
    names = sorted({key for keys in KEYS.values() for key in keys})
    return {name: Entity(name=name, join_keys=[name], value_type=ValueType.STRING) for name in names}


def _view(name: str, path: Path) -> FeatureView:
    schema = [field for field in pq.read_schema(path) if field.name.startswith(f"{name}_")]
    return FeatureView(
        name=name,
        entities=[_entities()[key] for key in KEYS[name]],
        ttl=TILE,
        schema=[Field(name=field.name, dtype=Int64 if field.type == pa.int64() else Float64) for field in schema],
        source=FileSource(path=str(path), timestamp_field="event_timestamp"),
        online=False,
    )


if __name__ == "__main__":
    kind, *paths = sys.argv[1:]
    main(kind, *map(Path, paths))
