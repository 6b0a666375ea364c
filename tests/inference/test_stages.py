"""A model whose trees are cut into stages answers every request as the whole does, through what one worker hands on to the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.boosters.cache import SHARD_MEMORY_BYTES
from inference.boosters.scores import Shape
from inference.model.loading import load
from inference.model.manifest import MANIFEST_FILE, MODEL_FILE
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client
from inference.online.redis.store import RedisStore
from inference.prediction import PredictionEncoder
from inference.scorer import Scorer
from inference.shards.partial_scores import PartialScores
from inference.shards.shard_map import PARENT, Missing, ShardMap
from inference.stages import FirstStage, LaterStage, check_stages, load_stage
from schemas.errors import DataError, SettingError
from schemas.wire import Decoder
from tests import shop
from tests.inference.test_scorer import AS_OF, fill

BUY = shop.plan().services["buy"]
USERS = ["ann", "zoe", "bob", None, "eve"]
MAPS = {
    "whole": None,
    "by key": ShardMap.of(["user"], shards=3, segments=["ann"]),
    "by key, others refused": ShardMap.of(["user"], segments=["ann", "bob"], missing=Missing.REFUSE),
}


class Line:
    """All workers of a score job, one after the other."""

    def __init__(self, client: Client, folder: Path, stages: int, *, memory: int = SHARD_MEMORY_BYTES) -> None:
        loaded = [load_stage(folder, number, shard_memory_bytes=memory) for number in range(stages)]
        manifest, first = loaded[0]
        encoder = PredictionEncoder(
            schema=shop.schemas().current("prediction"),
            service=BUY.name,
            service_version=BUY.fingerprint,
            model=manifest.name,
            model_version=manifest.version,
            code_version="c",
        )
        self.scorer = Scorer(
            service=BUY,
            decoder=Decoder(shop.schemas(), "offer", event_time="event_time", required=("request_id",), max_ahead_ms=60_000),
            reader=OnlineReader(BUY, RedisStore(client)),
            model=FirstStage(manifest=manifest, stage=first),
            encoder=encoder,
            now_ms=lambda: -1,  # the last stage's clock is told
        )
        self.later = [
            LaterStage(stage=stage, shape=manifest.shape, encoder=encoder, now_ms=lambda: 1_400_000_000_000) for _, stage in loaded[1:]
        ]

    def answer(self, bodies: list[bytes]) -> tuple[list[dict[str, Any] | None], list[str | None]]:
        answers = self.scorer.answer(bodies)
        values, reasons = list(answers.values), list(answers.reasons)
        for stage in self.later:
            rows = [row for row, value in enumerate(values) if value is not None]
            passed = stage.continue_batch([values[row] or b"" for row in rows])
            for row, value, reason in zip(rows, passed.values, passed.reasons, strict=True):
                values[row], reasons[row] = value, reason
        return [None if value is None else shop.prediction(value) for value in values], reasons


def offers() -> list[bytes]:
    return [shop.offer(f"r{number}", AS_OF, user=USERS[number % len(USERS)], price=number / 7) for number in range(40)]


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "stages"), [(2, 2), (2, 4), (2, 30), (3, 4)])
@pytest.mark.parametrize("map_", MAPS)
def test_every_request_is_answered_as_by_the_whole(client: Client, tmp_path: Path, map_: str, classes: int, stages: int) -> None:
    fill(client)
    folder = shop.train(tmp_path / "cut", shards=MAPS[map_], stages=stages, classes=classes)
    whole, cut = load(shop.train(tmp_path / "whole", shards=MAPS[map_], classes=classes)), load(folder)
    assert cut.version != whole.version
    rows, reasons = Line(client, folder, stages).answer(offers())
    answered = 0
    for user, row, reason in zip(USERS * 8, rows, reasons, strict=True):
        if map_ == "by key, others refused" and user not in ("ann", "bob"):
            assert row is None and str(reason).startswith("no-shard")
            continue
        assert row is not None and reason is None
        features = pa.table({name: pa.array([row["features"][name]], type=kind.arrow) for name, kind in BUY.feature_types.items()})
        requests = pa.table({"user": pa.array([user], type=pa.string())})
        together = cut.score_table(features, requests)  # in one process, as batch scoring does it: the same in every bit
        scores = row["scores"] if classes > 2 else [row["score"]]
        assert (scores, row["shard"]) == (together.score[0].tolist(), together.shard[0])
        assert scores == pytest.approx(whole.score_table(features, requests).score[0], rel=1e-12, abs=0)
        assert row["score"] == max(scores) and len(row["scores"]) == (classes if classes > 2 else 0)
        assert row["model_version"] == cut.version
        assert row["scored_at"].timestamp() == 1_400_000_000
        answered += 1
    assert answered == (16 if map_ == "by key, others refused" else 40)


def test_a_damaged_file_of_a_later_stage_costs_only_the_requests_that_need_it(client: Client, tmp_path: Path) -> None:
    fill(client)
    folder = shop.train(tmp_path / "m", shards=ShardMap.of(["user"], segments=["ann", "bob"]), stages=3)
    (folder / "stages" / "2" / "1.txt").write_text("tree")
    rows, reasons = Line(client, folder, 3).answer(offers())
    for user, row, reason in zip(USERS * 8, rows, reasons, strict=True):
        assert (row is None) == (user == "bob")
        assert reason is None or (user == "bob" and reason.startswith("unscorable: DataError: ") and "stages/2/1.txt: damaged" in reason)
    with pytest.raises(DataError, match=r"stages/2/1\.txt: damaged: its sha256"):
        check_stages(BUY, folder, shard_memory_bytes=SHARD_MEMORY_BYTES)


def test_a_stage_holds_its_own_trees_alone(tmp_path: Path) -> None:
    folder = shop.train(tmp_path / "m", trees=40, stages=4)
    whole = load(folder).trees
    trees = []
    for number in range(4):
        _, stage = load_stage(folder, number, shard_memory_bytes=SHARD_MEMORY_BYTES)
        trees.append(stage.boosters.of(0).iterations)
        assert stage.boosters.members[0].size_bytes < (folder / MODEL_FILE).stat().st_size / 3
    assert trees == [10, 10, 10, 10] and whole.iterations == 40
    assert check_stages(BUY, folder, shard_memory_bytes=SHARD_MEMORY_BYTES).version == load(folder).version


@pytest.mark.parametrize(
    "change", [{"stages": [{"7": {"sha256": "0", "bytes": 1}}]}, {"links": {}}, {"stages": [{"0": {}}]}, {"stages": 3}]
)
def test_damaged_stages_are_named(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = shop.train(tmp_path / "m", stages=2)
    said = json.loads((folder / MANIFEST_FILE).read_text())
    (folder / MANIFEST_FILE).write_text(json.dumps(said | change))
    with pytest.raises(DataError, match=r"manifest\.json: damaged: "):
        load(folder)


def test_another_model_in_its_place_is_refused(tmp_path: Path) -> None:
    folder = shop.train(tmp_path / "m", stages=2)
    with pytest.raises(SettingError, match="but the job was started with 0123"):
        load_stage(folder, 1, version="0123", shard_memory_bytes=SHARD_MEMORY_BYTES)


@given(
    st.lists(st.tuples(st.integers(PARENT, 9), st.floats(), st.binary(max_size=9), st.binary(max_size=9)), max_size=9),
    st.integers(0, 4),
    st.integers(1, 3),
)
def test_what_is_handed_on_arrives_as_it_was(given_: list[tuple[int, float, bytes, bytes]], columns: int, outputs: int) -> None:
    matrix = np.random.default_rng(1).normal(size=(len(given_), columns))
    first = np.array([each[1] for each in given_], dtype=np.float64).reshape(-1, 1)
    sent = PartialScores(
        shard=np.array([each[0] for each in given_], dtype=np.int64),
        raw=np.hstack([np.roll(first, output, axis=0) for output in range(outputs)]),
        matrix=matrix,
        before=[each[2] for each in given_],
        between=[each[3] for each in given_],
    )
    got = PartialScores.unpack(sent.pack(), Shape(columns=columns, outputs=outputs))
    assert np.array_equal(got.shard, sent.shard) and np.array_equal(got.raw, sent.raw, equal_nan=True)
    assert np.array_equal(got.matrix, matrix) and got.matrix.shape == matrix.shape
    assert (got.before, got.between) == (sent.before, sent.between)
