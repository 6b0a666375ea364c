"""A model of many shards answers within its memory: what is needed is loaded, what is used least leaves, and no answer depends on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest

from inference.boosters.cache import Boosters, Member
from inference.boosters.ensemble import predict
from inference.boosters.scores import Shape
from inference.model.loading import LoadedModel, load, load_for
from inference.model.manifest import MANIFEST_FILE
from inference.shards.shard_map import PARENT, ShardMap
from inference.shards.sharded import ShardedModel
from schemas.errors import DataError, SettingError
from tests import shop
from tests.waiting import PATIENCE_S

BUY = shop.plan().services["buy"]
SHARDS = 64
MAP = ShardMap.of(["user"], shards=SHARDS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.train(tmp_path_factory.mktemp("models") / "m", shards=MAP, trees=3)


def sizes(model: Path) -> list[int]:
    return [path.stat().st_size for path in (model / "shards").iterdir()]


def room_for(model: Path, shards: int) -> int:
    return shards * (max(sizes(model)) + (96 << 10))


def batch(n: int, *, seed: int) -> tuple[pa.Table, pa.Table]:
    random = np.random.default_rng(seed)
    features = {
        name: pa.array(random.choice(["red", "blue"], n))
        if kind.arrow == pa.string()
        else pa.array(random.normal(3, 2, n)).cast(kind.arrow, safe=False)
        for name, kind in BUY.feature_types.items()
    }
    return pa.table(features), pa.table({"user": [f"u{number}" for number in random.integers(0, 10_000, n)]})


def by_hand(loaded: LoadedModel, features: pa.Table, requests: pa.Table) -> list[float]:
    """One row at a time, every shard in memory."""
    assert loaded.shards is not None
    shards = MAP.route(requests).tolist()
    matrix = loaded.manifest.encoding.matrix(features)
    return [float(predict(loaded.shards.boosters.of(shard), matrix[row : row + 1])[0, 0]) for row, shard in enumerate(shards)]


def boosters_of(loaded: LoadedModel) -> Boosters:
    assert loaded.shards is not None
    return loaded.shards.boosters


@pytest.mark.slow
def test_with_room_for_a_quarter_of_its_shards_every_request_is_answered_as_with_room_for_all(model: Path) -> None:
    narrow, wide = load(model, shard_memory_bytes=room_for(model, 16)), load(model)
    boosters = boosters_of(narrow)
    for seed in range(4):
        features, requests = batch(500, seed=seed)
        before = boosters.loads
        scores = narrow.score_table(features, requests)
        assert scores.score[:, 0].tolist() == by_hand(wide, features, requests)
        assert np.array_equal(scores.shard, MAP.route(requests))
        assert not scores.refused.any()
        assert scores.loads == boosters.loads - before
        assert boosters.held_bytes <= room_for(model, 16)
    # All 64 shards are in each batch; those in memory are asked first, and each of the others is loaded once.
    assert SHARDS + 3 * 30 <= boosters.loads <= SHARDS + 3 * (SHARDS - 15)
    assert boosters_of(wide).loads == SHARDS


def test_the_least_recently_used_leaves(model: Path) -> None:
    boosters = boosters_of(load(model, shard_memory_bytes=room_for(model, 2)))
    boosters.of(0), boosters.of(1), boosters.of(0), boosters.of(2)
    assert boosters.held == [0, 2]
    assert boosters.loads == 3
    boosters.of(0)
    assert boosters.loads == 3


def test_a_batch_of_one_shard_loads_that_shard_alone(model: Path) -> None:
    loaded = load(model)
    features, requests = batch(2_000, seed=9)
    rows = np.flatnonzero(MAP.route(requests) == 5)
    assert loaded.score_table(features.take(rows), requests.take(rows)).loads == 1
    assert boosters_of(loaded).held == [5]


def test_a_shard_that_alone_has_no_room_is_told_when_the_model_is_loaded(model: Path) -> None:
    with pytest.raises(SettingError, match=r"^TIDEMARK_SHARD_MEMORY: 1,000 bytes, but shard \d+ alone takes [\d,]+; raise it, or split"):
        load(model, shard_memory_bytes=1_000)


@pytest.mark.slow
@pytest.mark.parametrize(("leaves", "trees"), [(8, 100), (31, 100), (255, 20)])
@pytest.mark.parametrize(("form", "least"), [("LightGBM", 0.4), ("machine code", 0.1)])
def test_a_shard_counts_no_less_than_is_held(tmp_path: Path, leaves: int, trees: int, form: str, least: float) -> None:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(20_000, 12))
    parameters = {"objective": "binary", "num_leaves": leaves, "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 5}
    booster = lgb.train(parameters, lgb.Dataset(matrix, matrix[:, :3].sum(axis=1) + random.normal(size=len(matrix)) > 0), trees)
    booster.save_model(tmp_path / "0.txt")
    member = Member(path=tmp_path / "0.txt", sha256="", size_bytes=(tmp_path / "0.txt").stat().st_size)
    measured = subprocess.run(
        [sys.executable, "-c", HOLDS, member.path, str((100 << 20) // member.memory_bytes), form],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert least < float(measured.stdout) / member.memory_bytes < 1


HOLDS = """
import gc, sys
import lightgbm, numpy, psutil
from inference.boosters.ensemble import Compiled, LightGbm, ensemble

def load():
    booster = lightgbm.Booster(model_str=open(sys.argv[1]).read())
    made = LightGbm(booster=booster, why="") if sys.argv[3] == "LightGBM" else ensemble(booster, "any")
    assert isinstance(made, Compiled) == (sys.argv[3] == "machine code")
    made.scores(numpy.zeros((1, 12)))
    return made

first = load()
gc.collect()
before = psutil.Process().memory_info().rss
held = [load() for _ in range(int(sys.argv[2]))]  # many: what the process had already is no matter then
gc.collect()
print((psutil.Process().memory_info().rss - before) / len(held))
"""


def test_the_version_is_that_of_all_files_and_of_the_map(tmp_path: Path) -> None:
    one = ShardMap.of(["user"], shards=2)
    versions = {
        load(shop.train(tmp_path / name, shards=map_, trees=3, without=without)).version
        for name, map_, without in (
            ("whole", None, ()),
            ("a", one, ()),
            ("same", one, ()),
            ("other key", ShardMap.of(["shelf"], shards=2), ()),
            ("fewer", one, (1,)),
        )
    }
    assert len(versions) == 4
    (tmp_path / "a" / "shards" / "1.txt").write_bytes((tmp_path / "a" / "shards" / "0.txt").read_bytes())
    with pytest.raises(DataError, match=r"shards/1\.txt: damaged: its sha256 is"):
        load_for(BUY, tmp_path / "a")
    (tmp_path / "a" / "shards" / "1.txt").unlink()
    with pytest.raises(SettingError, match=r"shards/1\.txt: cannot be read: No such file"):
        load_for(BUY, tmp_path / "a")


def test_a_key_that_requests_do_not_have_is_told_when_the_model_is_loaded(tmp_path: Path) -> None:
    for field in ("planet", "price"):
        folder = shop.train(tmp_path / field, shards=ShardMap.of([field], shards=2), trees=3)
        with pytest.raises(
            SettingError, match=f'shard key "{field}" is no string or whole number of buy\'s requests; there are request_id, '
        ):
            load_for(BUY, folder)


@pytest.mark.parametrize(
    "change",
    [
        {"members": [{"shard": 9, "sha256": "0", "bytes": 1}]},
        {"members": [{"shard": 0}]},
        {"members": 3},
        {"map": {}},
        {"map": MAP.json() | {"hash": "md5"}},
        {"map": MAP.json() | {"classes": {"0": [2, 0]}}},
    ],
)
def test_a_damaged_map_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    folder = shop.train(tmp_path / "m", shards=ShardMap.of(["user"], shards=2), trees=3)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    manifest["shards"] |= change
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json: damaged: ") as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_a_shard_without_a_model_is_routed_to_the_parent() -> None:
    sharded = ShardedModel(map=ShardMap.of(["user"], shards=1), boosters=Boosters({}, shape=Shape(columns=1, outputs=1), budget_bytes=1))
    assert sharded.route(pa.table({"user": ["a", None]})).tolist() == [PARENT, PARENT]
