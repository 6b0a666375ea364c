"""Models that one worker is not to hold, in the score job on Flink: 5,000 trees of 255 leaves in four stages, 64 shards with room for 16.

Some minutes long, so not a part of `make test`: `make large` runs it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import lightgbm
import numpy as np
import psutil
import pyarrow as pa
import pytest

from inference.boosters.ensemble import predict
from inference.model.encoding import Encoding
from inference.model.loading import load
from inference.model.writer import save
from inference.shards.shard_map import ShardMap
from infra import runtime
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.producer import Publisher
from schemas.types import DataType
from tests import shop
from tests.e2e.scoring import (
    BUY,
    PREDICTIONS,
    REQUESTS,
    counters,
    job,
    predictions,
    python_workers,
    wait_for_messages,
)
from tests.shop import NOON
from tests.waiting import PATIENCE_S, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.large, pytest.mark.timeout(1_800)]

TREES, LEAVES, STAGES = 5_000, 255, 4
SHARDS, ROOM, USERS = 64, 16, 2_000
CLOSE = 1e-12


@pytest.fixture(scope="module")
def runtime_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A runtime of its own, with the shop's definitions."""
    home = tmp_path_factory.mktemp("home")
    found = Settings.load(environ={"TIDEMARK_HOME": str(home / "home"), "TIDEMARK_CHECKPOINT_INTERVAL": "1s"}, folder=home)
    own = replace(found, definitions=shop.DEFINITIONS, schemas=shop.SCHEMAS, partitions=2)
    with runtime.started(own):
        admin.ensure(own, shop.plan())
        yield own


def test_a_model_of_5000_trees_is_served_by_four_workers_that_hold_a_part_each(runtime_settings: Settings, tmp_path: Path) -> None:
    small = shop.train(tmp_path / "small", trees=STAGES, stages=STAGES)
    large = train(tmp_path / "large")
    base = max(resident_bytes(runtime_settings, small).values())
    held = {worker: found - base for worker, found in resident_bytes(runtime_settings, large).items()}
    whole = whole_bytes(large)
    print(f"the whole model: {whole / 2**20:.1f} MiB; above a worker's base, each of {len(held)}: {mebibytes(held.values())}")
    assert len(held) == STAGES
    assert all(found <= whole / 3 for found in held.values())


def test_64_shards_with_room_for_16_answer_every_request(runtime_settings: Settings, tmp_path: Path) -> None:
    shards = ShardMap.of(["user"], shards=SHARDS)
    folder = shop.train(tmp_path / "m", shards=shards, trees=30)
    whole = load(folder)
    assert whole.shards is not None
    room = ROOM * max(member.memory_bytes for member in whole.shards.boosters.members.values())
    own = replace(runtime_settings, parallelism=1, shard_memory_bytes=room)
    with job(own, "jobs.score", "buy", "--model", str(folder), name="score-64") as job_id:
        answered, loads = asked(own, shards), 0

        def told() -> bool:
            nonlocal loads
            loads = sum(counters(own, job_id, "shard_loads").values())
            return loads >= SHARDS

        eventually(lambda: f"{loads} shard loads", told)
    print(f"{USERS:,} requests, {len(answered):,} answered, by {len(set(answered['shard'].to_pylist()))} shards, {loads} loads")
    assert set(answered["shard"].to_pylist()) == set(range(SHARDS))
    assert loads > SHARDS, "all of them had room"
    right = whole.score_table(answered.select(list(BUY.feature_types)), answered.select(["user"]))
    assert answered["score"].to_pylist() == right.score[:, 0].tolist()
    assert answered["shard"].to_pylist() == right.shard.tolist()


def train(folder: Path) -> Path:
    """Made-up rows, a label with noise, and a small rate: so that the last tree has something to learn still, and all its leaves."""
    random, rows = np.random.default_rng(3), 20_000
    columns = {
        name: pa.array(random.choice(["red", "blue"], rows)) if type_ is DataType.STRING else pa.array(random.normal(3.0, 2.0, rows))
        for name, type_ in BUY.feature_types.items()
    }
    table = pa.table({name: values.cast(BUY.feature_types[name].arrow, safe=False) for name, values in columns.items()})
    encoding = Encoding.of(BUY.feature_types, table)
    matrix = encoding.matrix(table)
    label = np.asarray(table["price"]) + np.asarray(table["spent_5m"]) + random.normal(size=rows) > 6
    parameters = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "learning_rate": 0.001,
        "min_data_in_leaf": 5,
        "min_sum_hessian_in_leaf": 0.0,
        "num_threads": 2,
        "verbosity": -1,
    }
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, label, categorical_feature=encoding.categorical), TREES)
    assert booster.model_to_string().count(f"\nnum_leaves={LEAVES}\n") == TREES
    record = {"name": "buy", "service": BUY.name, "service_version": BUY.fingerprint}
    save(folder, booster, encoding, record=record, stages=STAGES)
    return folder


def resident_bytes(settings: Settings, model: Path) -> dict[int, int]:
    """What each Python worker of a model's job holds once it has answered; the answers are those of the whole."""
    before = python_workers(settings)
    with job(settings, "jobs.score", "buy", "--model", str(model), name="score-by-trees"):
        answered = asked(settings, None)
        workers = python_workers(settings) - before
        found = {worker: psutil.Process(worker).memory_info().rss for worker in workers}
    right = load(model).score_table(answered.select(list(BUY.feature_types)), answered.select(["user"]))
    assert np.allclose(answered["score"], right.score[:, 0], rtol=CLOSE, atol=CLOSE)
    assert len(np.unique(right.score)) > STAGES
    return found


def asked(settings: Settings, shards: ShardMap | None) -> pa.Table:
    """Requests of all users, and their answers: `user`, `score`, `shard` and the features."""
    run, random = uuid4().hex[:8], np.random.default_rng(5)
    users = {f"{run}-{number}": f"user {number}" for number in range(USERS)}
    prices = random.normal(3.0, 2.0, USERS).tolist()
    rows = [
        {"request_id": request_id, "event_time": NOON, "user": user, "shop": 7, "shelf": "top", "price": price, "colour": "red"}
        for (request_id, user), price in zip(users.items(), prices, strict=True)
    ]
    schema = shop.schemas().current(BUY.request.schema)
    key = ["request_id"] if shards is None else shards.key
    with Publisher(Connection.of(settings), REQUESTS, schema, event_time="event_time", key=key) as publisher:
        publisher.publish(pa.Table.from_pylist(rows, schema=schema.arrow))
    of_run = wait_for_messages(settings, PREDICTIONS, USERS, lambda message: (message.key() or b"").startswith(run.encode()))
    found = predictions(of_run)
    assert sorted(row["request_id"] for row in found) == sorted(users)
    features = {name: pa.array([row["features"][name] for row in found], type_.arrow) for name, type_ in BUY.feature_types.items()}
    return pa.table(
        {
            "user": [users[row["request_id"]] for row in found],
            "score": [row["score"] for row in found],
            "shard": [row["shard"] for row in found],
        }
        | features
    )


def whole_bytes(model: Path) -> int:
    """What a process holds more once it has loaded the whole model and used it."""
    done = subprocess.run([sys.executable, "-m", __name__, str(model)], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    return int(done.stdout)


def mebibytes(sizes: Iterable[int]) -> str:
    return ", ".join(f"{size / 2**20:.1f}" for size in sizes)


def held_bytes(model: Path) -> int:
    """The same of this process."""
    nothing = pa.table({name: pa.array([None], type_.arrow) for name, type_ in BUY.feature_types.items()})
    before: int = psutil.Process().memory_info().rss
    loaded = load(model)
    predict(loaded.trees, loaded.manifest.encoding.matrix(nothing))
    held: int = psutil.Process().memory_info().rss - before
    return held


if __name__ == "__main__":
    print(held_bytes(Path(sys.argv[1])))
