"""Tables of features become the predictions that the stream would make: the same scores, the columns of `predictions.parquet`, one load of the model."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from inference import batch
from inference.batch import BatchScorer
from inference.boosters.ensemble import predict
from inference.model.loading import LoadedModel, load, load_for
from inference.prediction_table import schema_of
from inference.shards.shard_map import PARENT, Missing, ShardMap
from schemas.errors import DataError, SettingError
from tests import shop
from tests.shop import NOON

BUY = shop.plan().services["buy"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.train(tmp_path_factory.mktemp("models") / "buy")


@pytest.fixture(autouse=True)
def forgotten() -> None:
    batch._loaded.cache_clear()


def scorer(model: Path) -> BatchScorer:
    return BatchScorer(service=BUY, model=model, version=load(model).version)


def features(n: int = 50) -> pa.Table:
    """Columns in an order and in types of an engine's own."""
    random = np.random.default_rng(5)
    time = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "stale": pa.array([False] * n),
            "shelf_most_5m": pa.array(random.normal(3, 2, n), mask=random.random(n) < 0.3),
            "clicks_5m": pa.array(random.integers(0, 5, n), type=pa.int32()),
            "shelf_clicks_5m": pa.array(random.integers(0, 5, n)),
            "spent_5m": pa.array(random.normal(3, 2, n)),
            "last_amount_10m": pa.array([None] * n, type=pa.float64()),
            "request_id": pa.array([f"r{row}" for row in range(n)], type=pa.large_string()),
            "event_time": pa.array([NOON + row for row in range(n)]).cast(pa.timestamp("ms", tz="UTC")).cast(time),
            "user": pa.array(["ann", None] * (n // 2)),
            "shop": pa.array([7] * n),
            "shelf": pa.array(["top"] * n),
            "price": pa.array(random.normal(3, 2, n)),
            "colour": pa.array(random.choice(["red", "blue", "mauve"], n)).dictionary_encode(),
            "frontier": pa.array([NOON] * n).cast(pa.timestamp("ms", tz="UTC")),
            "#day": pa.array([1] * n),
        }
    )


def test_the_scores_are_the_models_own_and_the_columns_those_of_predictions(model: Path) -> None:
    table = features()
    said = scorer(model).score(table)
    assert said.schema == schema_of(BUY)
    loaded = load(model)
    assert np.array_equal(said["score"].to_numpy(), loaded.predict(table))
    assert len(set(said["score"].to_pylist())) > 10
    assert said["request_id"].to_pylist() == table["request_id"].to_pylist()
    assert said["event_time"].cast(pa.int64()).to_pylist() == [NOON + row for row in range(len(table))]
    for name, value in (("model_version", loaded.version), ("variant", "champion"), ("shard", 0), ("stale", False)):
        assert set(said[name].to_pylist()) == {value}
    assert len(scorer(model).score(table.slice(0, 0))) == 0


def test_a_model_by_key_scores_as_the_stream_does_and_a_refused_request_has_no_score(tmp_path: Path) -> None:
    folder = shop.train(tmp_path / "m", shards=ShardMap.of(["user"], segments=["ann"], missing=Missing.REFUSE))
    table = features()
    said = scorer(folder).score(table)
    loaded = load(folder)
    assert loaded.shards is not None
    ann = predict(loaded.shards.boosters.of(0), loaded.manifest.encoding.matrix(table))
    assert said["score"].to_pylist() == [
        None if user is None else score for user, score in zip(table["user"].to_pylist(), ann[:, 0], strict=True)
    ]
    assert said["shard"].to_pylist() == [PARENT if user is None else 0 for user in table["user"].to_pylist()]
    assert set(said["model_version"].to_pylist()) == {loaded.version}


@pytest.mark.parametrize("shards", [None, ShardMap.of(["user"], segments=["ann"], missing=Missing.REFUSE)])
def test_of_several_classes_there_are_all_scores_and_the_highest(tmp_path: Path, shards: ShardMap | None) -> None:
    folder = shop.train(tmp_path / "m", shards=shards, classes=3)
    table = features()
    said, right = scorer(folder).score(table), load(folder).score_table(table, table)
    assert said.schema == schema_of(BUY, several=True)
    assert right.refused.sum() == (25 if shards is not None else 0)
    for score, scores, expected, refused in zip(
        said["score"].to_pylist(), said["scores"].to_pylist(), right.score, right.refused, strict=True
    ):
        assert (score, scores) == ((None, None) if refused else (max(expected), expected.tolist()))
    assert len(scorer(folder).score(table.slice(0, 0))) == 0


def test_the_id_of_a_request_may_have_another_name(tmp_path: Path) -> None:
    columns = {"offer": "request_id", "at": "event_time"}
    request = replace(
        BUY.request,
        id="offer",
        event_time="at",
        columns={{v: k for k, v in columns.items()}.get(n, n): t for n, t in BUY.request.columns.items()},
    )
    service = replace(BUY, request=request)
    folder = shop.train(tmp_path / "model", service)
    table = features().rename_columns([{"request_id": "offer", "event_time": "at"}.get(name, name) for name in features().column_names])
    said = BatchScorer(service=service, model=folder, version=load(folder).version).score(table)
    assert said["request_id"].to_pylist() == said["offer"].to_pylist()
    assert said["event_time"].to_pylist() == said["at"].to_pylist()
    with pytest.raises(SettingError, match='its request source "offers" declares no id, by which predictions are known'):
        BatchScorer(service=replace(BUY, request=replace(BUY.request, id=None)), model=folder, version="")


def test_a_process_loads_its_model_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def counted(folder: Path, **given: Any) -> LoadedModel:
        loads.append(folder)
        return load(folder, **given)

    monkeypatch.setattr(batch, "load", counted)
    for copy in [pickle.loads(pickle.dumps(scorer(model))) for _ in range(3)]:  # as tasks bring it
        copy.score(features())
    assert loads == [model]


def test_a_model_that_was_damaged_or_replaced_scores_nothing(tmp_path: Path) -> None:
    folder = shop.train(tmp_path / "model")
    sound = scorer(folder)
    content = (folder / "model.txt").read_bytes()
    (folder / "model.txt").write_bytes(content[:-1] + b"!")
    with pytest.raises(DataError, match="damaged: its sha256 is"):
        sound.score(features())
    (folder / "model.txt").write_bytes(content)
    with pytest.raises(SettingError, match=r"holds model version [0-9a-f]{16}, but the job was started with 0123; start it again$"):
        replace(sound, version="0123").score(features())


def test_a_model_of_other_definitions_is_refused(model: Path) -> None:
    with pytest.raises(SettingError, match="but the definitions say buy version"):
        load_for(replace(BUY, views=BUY.views[:1]), model)
    assert load_for(BUY, model).version == load(model).version
