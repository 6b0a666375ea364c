"""Views with hops for tests of the store: what was sent of their tiles, and what the small ones alone would make."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.column import Column
from features.columns.tile_table import Tiles
from features.kernel.fold import fold
from features.plan import ViewPlan
from features.tiles.codec import TileCodec
from features.tolerances import differences, view_rules
from features.window import Sliding, Window
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client
from inference.online.redis.layout import EntityKeys, cold_fields, packed_of, tiles_fields
from inference.online.redis.store import RedisStore
from inference.online.served import Served
from inference.online.writer import TileWriter
from schemas.types import DataType
from tests.features.kernel.example import DELAY_MS, TILE_MS, VIEW, build_tiles
from tests.features.kernel.test_kernel_is_the_oracle import event
from tests.inference.example import SERVICE, requests_of, rows_table

WINDOWS: Mapping[Window, Window] = {
    Sliding(size_ms=TILE_MS): Sliding(size_ms=12 * TILE_MS),  # longer than a tile of the second level: its tail needs small ones too
    Sliding(size_ms=5 * TILE_MS): Sliding(size_ms=10 * TILE_MS, hop_ms=5 * TILE_MS),
    Sliding(size_ms=180 * TILE_MS): Sliding(size_ms=45 * TILE_MS, hop_ms=15 * TILE_MS),
}
FAR_MS = 10**14 // TILE_MS * TILE_MS
NOW_MS = time.time_ns() // 1_000_000
TOP = 15  # tiles in one of the largest level
KEYS = ("a", "b")


def levelled(view: ViewPlan, name: str, windows: Mapping[Window, Window] = WINDOWS) -> ViewPlan:
    features = tuple(replace(each, name=f"{name}_{each.name}", window=windows[each.window]) for each in view.features)
    return replace(view, name=name, entity=name, keys=(Column(name="key", type=DataType.STRING),), features=features)


WORDS = levelled(VIEW, "hop_words")
NUMBERS_BASE = replace(
    VIEW,
    partials=tuple(p for p in VIEW.partials if p.type is not DataType.STRING),
    features=tuple(f for f in VIEW.features if all(p.type is not DataType.STRING for p in f.partials)),
)
NUMBERS = levelled(NUMBERS_BASE, "hop_numbers")


class World:
    """What was ever sent of each tile: of several the highest revision counts.

    Args:
        view: Whose tiles.
        rough: Whether doubles are of all sizes and both signs, so that the last digits of a sum tell in which groups it was added; else they add up exactly,
            in whatever order.
    """

    def __init__(self, view: ViewPlan, *, rough: bool = False) -> None:
        self.view = view
        self.rough = rough
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}

    def send(self, key: str, number: int, *, revision: int = 0) -> dict[str, Any]:
        """A tile: the same in all revisions that do not correct it."""
        version = max(revision, 0)
        dice = random.Random(f"{key} {number} {version}")
        times = [number * TILE_MS + dice.randrange(TILE_MS) for _ in range(dice.choice([1, 1, 2, 3]))]
        events = [
            {
                **event(at, i=dice.randrange(-9, 99), x=self._double(dice), word=dice.choice("abcd"), seq=dice.randrange(3)),
                "key": key,
            }
            for at in times
        ]
        (row,) = build_tiles(self.view, events)
        known = self.rows.get((key, number))
        if known is None or revision >= known["revision"]:
            self.rows[key, number] = {**row, "revision": revision}
        return {**row, "revision": revision}

    def _double(self, dice: random.Random) -> float:
        return dice.uniform(-1, 1) * 10.0 ** dice.randrange(-3, 8) if self.rough else dice.randrange(-320, 320) / 64

    def expected(self, asked: Sequence[tuple[str, int]]) -> dict[str, pa.Array[Any]]:
        """Windows that end at these tiles, from small tiles alone."""
        rows = [row for _, row in sorted(self.rows.items())]
        table = rows_table(self.view, rows)
        owner = np.array([KEYS.index(key) for key, _ in sorted(self.rows)], dtype=np.int64)
        start_ms = np.array([number * TILE_MS for _, number in sorted(self.rows)], dtype=np.int64)
        tiles = Tiles.of(self.view.tile_columns, owner=owner, start_ms=start_ms, table=table)
        boundary = np.array([number * TILE_MS for _, number in asked], dtype=np.int64)
        return fold(self.view, tiles, owner=np.array([KEYS.index(key) for key, _ in asked], dtype=np.int64), boundary_ms=boundary)


def reading(client: Client, view: ViewPlan, asked: Sequence[tuple[str, int]]) -> Served:
    service = replace(SERVICE, name="levels", views=(view,))
    return OnlineReader(service, RedisStore(client)).read(requests_of([(key, number * TILE_MS + DELAY_MS) for key, number in asked]))


def apart(world: World, served: Served, asked: Sequence[tuple[str, int]]) -> list[tuple[str, tuple[str, int], Any, Any]]:
    """The exact values that are not what they should be."""
    exact = np.flatnonzero(~served.table["stale"].to_numpy())
    expected, rules, found = world.expected(asked), view_rules(world.view), []
    for feature in world.view.features:
        sides = [served.table[feature.name].take(exact), pa.chunked_array([expected[feature.name].take(exact)])]
        wrong = np.flatnonzero(differences(*sides) > rules[feature.name].allowed).tolist()
        found += [(feature.name, asked[exact[row]], sides[0][row].as_py(), sides[1][row].as_py()) for row in wrong]
    return found


def writer_of(client: Client, view: ViewPlan, *, slack: int = 20) -> TileWriter:
    writer = TileWriter(view, RedisStore(client), slack_ms=slack * TILE_MS)
    writer.close(FAR_MS, 0)
    return writer


def kept(client: Client, view: ViewPlan, key: str = "a") -> Any:
    raw: Any = client
    name = EntityKeys(view.keys, "tidemark").of([key])
    recent, cold = (packed_of(raw.hget(name, fields(view)[0])) for fields in (tiles_fields, cold_fields))
    codec = TileCodec(view=view)
    return codec.unpack([codec.joined(recent, cold)])
