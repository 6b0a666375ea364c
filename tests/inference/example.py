"""A service of three views over the kernel's example events: one key, a composite key with an integer, one with strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from features.columns.column import Column
from features.expressions.expression import parse
from features.plan import Plan, RequestFeature, ServicePlan, SourcePlan, ViewPlan
from inference.online.writer import tile_schema
from schemas.types import DataType
from tests.features.kernel.example import VIEW, build_tiles
from tests.features.tiles.test_codec import NUMBERS

ZONES = {"a": 7, "b": -(2**40), "silent": 9} | {f"k{entity}": 0 for entity in range(20)}

REQUEST = SourcePlan(
    name="requests",
    topic="requests",
    schema="request",
    columns={
        "id": DataType.STRING,
        "at": DataType.TIMESTAMP,
        "key": DataType.STRING,
        "zone": DataType.INT64,
        "amount": DataType.FLOAT64,
    },
    nullable=frozenset({"key", "amount"}),
    event_time="at",
    lateness_ms=0,
    id="id",
    dedupe_ms=None,
    trusted=False,
)


def _view(view: ViewPlan, name: str, *keys: tuple[str, DataType]) -> ViewPlan:
    columns = tuple(Column(name=key, type=type_) for key, type_ in keys)
    features = tuple(replace(feature, name=f"{name}_{feature.name}") for feature in view.features)
    return replace(view, name=name, entity=name, keys=columns, features=features)


BY_KEY = _view(NUMBERS, "by_key", ("key", DataType.STRING))
BY_ZONE = _view(NUMBERS, "by_zone", ("zone", DataType.INT64), ("key", DataType.STRING))
WORDS = _view(VIEW, "words", ("key", DataType.STRING))
VIEWS = (BY_KEY, BY_ZONE, WORDS)

SERVICE = ServicePlan(
    name="scoring",
    request=REQUEST,
    views=VIEWS,
    request_features=tuple(
        RequestFeature(name=name, expression=parse(text, REQUEST.columns, REQUEST.nullable, where=name))
        for name, text in (("twice", "amount * 2"), ("zone", "zone"), ("key", "key"))
    ),
    label=None,
)
PLAN = Plan(sources={"requests": REQUEST, "events": VIEW.source}, views={view.name: view for view in VIEWS}, services={"scoring": SERVICE})


def tiles_of(view: ViewPlan, events: Sequence[Mapping[str, Any]], *, revision: int = 0) -> pa.Table:
    """What jobs/features would send for these events."""
    return rows_table(view, [{**row, "zone": ZONES[row["key"]], "revision": revision} for row in build_tiles(view, events)])


def rows_table(view: ViewPlan, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Tile rows as the writer takes them."""
    columns = {}
    for field in tile_schema(view):
        values = [row[field.name] for row in rows]
        columns[field.name] = pa.array(values, type=field.type)
    return pa.table(columns)


def requests_of(rows: Sequence[tuple[str | None, int]]) -> pa.Table:
    """Requests (key, event time)."""
    return pa.table(
        {
            "id": [str(number) for number in range(len(rows))],
            "at": pa.array([time for _, time in rows], type=pa.timestamp("ms", tz="UTC")),
            "key": pa.array([key for key, _ in rows], type=pa.string()),
            "zone": pa.array([ZONES.get(key or "", 0) for key, _ in rows], type=pa.int64()),
            "amount": pa.array([None if number % 3 == 2 else number / 4 for number in range(len(rows))], type=pa.float64()),
        }
    )


def one_tile_of_each(view: ViewPlan, numbers: Sequence[int], *, entities: int = 20) -> pa.Table:
    """The tile of each number, holding the number once, for entities `k0`, `k1`, …"""
    rows = []
    for number in numbers:
        event = {"key": "", "t": number * view.tile_ms, "x": None, "i": number, "word": None, "flag": None, "at": None, "seq": None}
        (row,) = build_tiles(view, [event])
        rows += [{**row, "key": f"k{entity}", "zone": 0, "revision": 0} for entity in range(entities)]
    return rows_table(view, rows)
