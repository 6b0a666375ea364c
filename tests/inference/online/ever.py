"""Views with features of all time for tests of the store, and their tiles."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from features.columns.column import Column
from features.plan import ViewPlan
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client
from inference.online.redis.layout import EntityKeys, packed_of, tiles_fields
from inference.online.redis.store import RedisStore
from inference.online.served import Served
from inference.online.writer import TileWriter
from schemas.types import DataType
from tests.features.kernel.example import DELAY_MS, EVER_VIEW, TILE_MS, build_tiles
from tests.features.kernel.test_kernel_is_the_oracle import event
from tests.inference.example import SERVICE, requests_of, rows_table

FAR_MS = 10**14 // TILE_MS * TILE_MS
SLACK_MS = 20 * TILE_MS
NOW_MS = time.time_ns() // 1_000_000


def _named(view: ViewPlan, name: str) -> ViewPlan:
    features = tuple(replace(feature, name=f"{name}_{feature.name}") for feature in view.features)
    return replace(view, name=name, entity=name, keys=(Column(name="key", type=DataType.STRING),), features=features)


_NUMBERS = replace(
    EVER_VIEW,
    partials=tuple(p for p in EVER_VIEW.partials if p.type is not DataType.STRING),
    features=tuple(f for f in EVER_VIEW.features if all(p.type is not DataType.STRING for p in f.partials)),
)
WORDS, NUMBERS = _named(EVER_VIEW, "ever_words"), _named(_NUMBERS, "ever_numbers")
ONLY = _named(replace(_NUMBERS, features=tuple(f for f in _NUMBERS.features if not f.window.is_bounded)), "ever_only")
VIEWS = (NUMBERS, WORDS, ONLY)
EVERY = replace(SERVICE, name="ever", views=VIEWS)
PLAIN = replace(SERVICE, name="plain", views=(NUMBERS,))


def tiles_of(view: ViewPlan, events: Sequence[Mapping[str, Any]], *, revision: int = 0) -> pa.Table:
    return rows_table(view, [{**row, "revision": revision} for row in build_tiles(view, events)])


def numbered(numbers: Sequence[int], *, key: str = "a", each: int = 1) -> list[dict[str, Any]]:
    """Events, one for each tile number; `each` is what they add."""
    return [{**event(number * TILE_MS, i=each, word="w"), "key": key} for number in numbers]


def shuffled(table: pa.Table, dice: random.Random, repeats: int) -> pa.Table:
    rows = list(range(len(table))) + [dice.randrange(len(table)) for _ in range(repeats if len(table) else 0)]
    dice.shuffle(rows)
    return table.take(pa.array(rows, pa.int64()))


def write(writer: TileWriter, table: pa.Table, size: int) -> None:
    for first in range(0, len(table), size):
        writer.write(table.slice(first, size))


def read(client: Client, rows: Sequence[tuple[str | None, int]], service: Any = PLAIN) -> Served:
    return OnlineReader(service, RedisStore(client)).read(requests_of(rows))


def total(client: Client, at: int, key: str = "a") -> tuple[int, bool]:
    """The sum since ever as of the beginning of a tile, and whether it is stale."""
    (row,) = read(client, [(key, at * TILE_MS + DELAY_MS)]).table.to_pylist()
    return row["ever_numbers_sum_i_ever"], row["stale"]


def stored(client: Client, view: ViewPlan = NUMBERS, key: str = "a", project: str = "tidemark") -> bytes:
    raw: Any = client
    return bytes(packed_of(raw.hget(EntityKeys(view.keys, project).of([key]), tiles_fields(view)[0])) or b"")


def writer_of(client: Client, view: ViewPlan = NUMBERS, *, frontier: int | None = FAR_MS, **options: Any) -> TileWriter:
    writer = TileWriter(view, RedisStore(client), **({"slack_ms": SLACK_MS} | options))
    if frontier is not None:
        writer.close(frontier, 0)
    return writer
