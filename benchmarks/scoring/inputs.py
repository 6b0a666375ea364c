"""What the contenders of the score benchmark share: a filled store, a trained model, and requests, all from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.trees import trained
from features.catalog import load
from features.plan import Plan, ServicePlan, ViewPlan
from inference.model.encoding import Encoding
from inference.model.writer import save
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from schemas.schema import SchemaSet
from schemas.wire import Encoder

HERE = Path(__file__).parent
DEFINITIONS, SCHEMAS = HERE / "definitions", HERE / "schemas"
SERVICE = "payment_scores"
SEED = 11
CARDS, MERCHANTS, PAIRS = 2_000, 500, 4_000
TILES = 36  # three hours of five minutes
MINUTE_MS = 60_000
NOON_MS = 1_380_628_800_000  # 2013-10-01T12:00Z, up to which the store is filled


def plan() -> Plan:
    """The definitions, compiled."""
    return load(DEFINITIONS, SCHEMAS)


def service() -> ServicePlan:
    """Whose requests are scored."""
    return plan().services[SERVICE]


def as_of_ms() -> int:
    """The newest event time that is served exactly."""
    return NOON_MS + max(view.delay_ms for view in service().views)


def entities() -> dict[str, list[tuple[str, ...]]]:
    """View → the keys that it has tiles of."""
    random = np.random.default_rng(SEED)
    cards, merchants = [f"card-{number}" for number in range(CARDS)], [f"merchant-{number}" for number in range(MERCHANTS)]
    pairs = zip(random.integers(0, CARDS, PAIRS).tolist(), random.integers(0, MERCHANTS, PAIRS).tolist(), strict=True)
    return {
        "card_activity": [(card,) for card in cards],
        "merchant_activity": [(merchant,) for merchant in merchants],
        "card_at_merchant_activity": sorted({(cards[card], merchants[merchant]) for card, merchant in pairs}),
    }


def fill(client: Client) -> int:
    """Write the tiles of all views up to noon, two thirds of those that could be, and close them; how many they are."""
    written = 0
    for name, keys in entities().items():
        view = plan().views[name]
        writer = TileWriter(view, RedisStore(client))
        for start in range(0, len(keys), 500):
            tiles = _tiles(view, keys[start : start + 500], np.random.default_rng([SEED, start, len(keys)]))
            writer.write(tiles)
            written += len(tiles)
        writer.close(NOON_MS, 0)
    return written


def _tiles(view: ViewPlan, keys: list[tuple[str, ...]], random: np.random.Generator) -> pa.Table:
    there = random.random((len(keys), TILES)) < 2 / 3
    key, tile = np.nonzero(there)
    n = len(key)
    columns: dict[str, pa.Array[Any]] = {
        column.name: pa.array([keys[row][position] for row in key.tolist()]) for position, column in enumerate(view.keys)
    }
    columns["tile_start"] = pa.array(NOON_MS - view.tile_ms * (TILES - tile), type=pa.int64())
    columns["revision"] = pa.array(np.zeros(n, dtype=np.int64))
    amounts = np.round(random.gamma(2.0, 30.0, n), 2)
    count = random.integers(1, 5, n)
    for column in view.tile_columns:
        values = count if "count" in column.name else amounts * (count if column.name.startswith("sum") else 1)
        columns[column.name] = pa.array(values).cast(column.type.arrow, safe=False)
    return pa.table(columns)


def train(folder: Path, client: Client) -> str:
    """A model of 200 trees of 63 leaves on features as they are served, with a made-up label; its version."""
    features = OnlineReader(service(), RedisStore(client)).read(requests(20_000)).table
    encoding = Encoding.of(service().feature_types, features)
    matrix = encoding.matrix(features)
    booster = trained(matrix, seed=SEED)
    record = {"name": SERVICE, "service": SERVICE, "service_version": service().fingerprint}
    return save(folder, booster, encoding, record=record)


def bodies(requests: pa.Table) -> list[bytes]:
    """Requests as they are on the wire."""
    columns = {
        name: (requests[name].cast(pa.int64()) if name == "event_time" else requests[name]).to_pylist() for name in requests.column_names
    }
    return Encoder(SchemaSet.load(SCHEMAS).current(service().request.schema)).batch(columns)


def requests(count: int) -> pa.Table:
    """So many requests as of noon, their cards and merchants as the pairs' are."""
    random = np.random.default_rng(SEED + 1)
    pairs = entities()["card_at_merchant_activity"]
    chosen = random.integers(0, len(pairs), count)
    return pa.table(
        {
            "request_id": [f"r{number}" for number in range(count)],
            "event_time": pa.array(np.full(count, as_of_ms()), type=pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
            "card": [pairs[row][0] for row in chosen.tolist()],
            "merchant": [pairs[row][1] for row in chosen.tolist()],
        }
    )
