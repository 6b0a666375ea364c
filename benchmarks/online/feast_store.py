"""Feast with a registry file and its Redis online store, for the payments' features as plain values; in the peer's environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float64, Int64
from feast.value_type import ValueType

VIEWS = {"card_activity": "card", "merchant_activity": "merchant", "customer_activity": "customer"}
"""View → its key."""


def opened(address: str, values: Path, folder: Path, keys: Mapping[str, str] = VIEWS) -> FeatureStore:
    """A store whose views have the features of `<view>.parquet`.

    Args:
        address: `host:port` of the server.
        values: Where those files are: the key, the features, perhaps `event_timestamp`.
        folder: Where the registry goes.
        keys: View → its key.
    """
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "redis", "connection_string": address},
        offline_store={"type": "dask"},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    entities = {key: Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for key in keys.values()}
    views = [_view(name, entities[key], values / f"{name}.parquet") for name, key in keys.items()]
    store.apply([*entities.values(), *views])
    return store


def references(views: list[str], store: FeatureStore) -> list[str]:
    """How `get_online_features` names all features of some views."""
    return [f"{name}:{field.name}" for name in views for field in store.get_feature_view(name).features]


def _view(name: str, entity: Entity, path: Path) -> FeatureView:
    fields = [field for field in pq.read_schema(path) if field.name not in (entity.name, "event_timestamp")]
    schema: list[Any] = [Field(name=field.name, dtype=Int64 if field.type == pa.int64() else Float64) for field in fields]
    source = FileSource(path=str(path), timestamp_field="event_timestamp")
    return FeatureView(name=name, entities=[entity], schema=schema, source=source, online=True)
