"""Features as plain values, as one keeps them who computes them beforehand: for each view one row, or one JSON object, for each entity."""

from __future__ import annotations

import json
from itertools import islice

import pyarrow as pa

from features.plan import ServicePlan
from inference.online.redis.connection import Client

_PIPELINE = 2_000


def values(service: ServicePlan, served: pa.Table) -> dict[str, pa.Table]:
    """View → its keys and features, a row for each entity.

    Args:
        service: Whose views.
        served: What the store has served for requests, all of one time.
    """
    found = {}
    for view in service.views:
        keys = [column.name for column in view.keys]
        table = served.select([*keys, *(feature.name for feature in view.features)])
        first = table.append_column("row", pa.array(range(len(table)))).group_by(keys, use_threads=False).aggregate([("row", "min")])
        found[view.name] = table.take(first["row_min"])
    return found


def key_of(view: str, *keys: str) -> str:
    """Under which an entity's values are stored."""
    return ":".join(("plain", view, *keys))


def store(client: Client, service: ServicePlan, served: pa.Table) -> None:
    """Store the values that were served, as JSON without the keys."""
    tables = values(service, served)
    for view in service.views:
        names = [column.name for column in view.keys]
        keys = zip(*(tables[view.name][name].to_pylist() for name in names), strict=True)
        rows = tables[view.name].drop_columns(names).to_pylist()
        entries = zip((key_of(view.name, *each) for each in keys), map(json.dumps, rows), strict=True)
        while some := dict(islice(entries, _PIPELINE)):
            client.mset(some)
