"""A Feast repository of the payments' features, filled: `python feast_repository.py ADDRESS VALUES FOLDER`, in the peer's environment.

VALUES has `<view>.parquet`, a row for each entity; the names of the columns that are strings are its keys.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, Int64
from feast.value_type import ValueType

SERVICE, TIME = "payment_scores", "event_timestamp"
_CONFIGURATION = """\
project: bench
provider: local
registry: registry.db
online_store:
  type: redis
  connection_string: {address}
offline_store:
  type: dask
entity_key_serialization_version: 3
"""


def main(address: str, values: Path, folder: Path) -> None:
    """Write, register and fill it."""
    (folder / "feature_store.yaml").write_text(_CONFIGURATION.format(address=address))
    store = FeatureStore(repo_path=str(folder))
    views: list[Any] = []
    entities: dict[str, Entity] = {}
    for path in sorted(values.glob("*.parquet")):
        schema = pq.read_schema(path)
        keys = [field.name for field in schema if field.type == pa.string()]
        entities |= {key: Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for key in keys if key not in entities}
        features = [field for field in schema if field.name not in (*keys, TIME)]
        fields = [Field(name=field.name, dtype=Int64 if field.type == pa.int64() else Float64) for field in features]
        source = FileSource(path=str(path), timestamp_field=TIME)
        views.append(FeatureView(name=path.stem, entities=[entities[key] for key in keys], schema=fields, source=source, online=True))
    store.apply([*entities.values(), *views, FeatureService(name=SERVICE, features=views)])
    for view in views:
        rows = pq.read_table(values / f"{view.name}.parquet").to_pandas()
        store.write_to_online_store(view.name, df=rows.assign(**{TIME: datetime.now(UTC)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
