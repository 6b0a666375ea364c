"""A batch of raw requests becomes predictions, dead letters or nothing, in order; each row by its own, whatever its neighbours are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from inference.boosters.cache import SHARD_MEMORY_BYTES
from inference.boosters.ensemble import predict
from inference.model import loading as models
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client, connect
from inference.online.redis.layout import EntityKeys, tiles_fields
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from inference.prediction import PredictionEncoder
from inference.scorer import Answers, Scorer
from inference.shards.shard_map import PARENT, Missing, ShardMap
from schemas.errors import ServiceError
from schemas.wire import Decoder, marker
from tests import shop
from tests.inference.test_materializer import SHELF, USER, materializer
from tests.shop import MINUTE, NOON

PLAN = shop.plan()
BUY = PLAN.services["buy"]
AS_OF = NOON + 10 * MINUTE + USER.delay_ms
FULL = {"price": 2.5, "colour": "red", "clicks_5m": 3, "spent_5m": 7.0, "last_amount_10m": 4.0, "shelf_clicks_5m": 2, "shelf_most_5m": 8.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.train(tmp_path_factory.mktemp("models") / "buy")


def scorer(client: Client, model: Path, *, shard_memory_bytes: int = SHARD_MEMORY_BYTES) -> Scorer:
    loaded = models.load(model, shard_memory_bytes=shard_memory_bytes)
    return Scorer(
        service=BUY,
        decoder=Decoder(shop.schemas(), "offer", event_time="event_time", required=("request_id",), max_ahead_ms=60_000),
        reader=OnlineReader(BUY, RedisStore(client)),
        model=loaded,
        encoder=PredictionEncoder(
            schema=shop.schemas().current("prediction"),
            service=BUY.name,
            service_version=BUY.fingerprint,
            model=loaded.manifest.name,
            model_version=loaded.version,
            data_version="0123456789abcdef",
            code_version="0.1.0+0123456789ab",
        ),
        now_ms=lambda: 1_400_000_000_000,
    )


def fill(client: Client) -> None:
    """Tiles up to ten past noon."""
    given = [
        (USER.tiles_topic, shop.user_tile(USER, NOON + 6 * MINUTE, "ann", 1.0, 2.0)),
        (USER.tiles_topic, shop.user_tile(USER, NOON + 9 * MINUTE, "ann", 4.0)),
        (SHELF.tiles_topic, shop.shelf_tile(SHELF, NOON + 9 * MINUTE, 7, "top", 4.0, 8.0)),
        ("tidemark.frontier", shop.closing(USER.name, NOON + 10 * MINUTE, 1)),
        ("tidemark.frontier", shop.closing(SHELF.name, NOON + 10 * MINUTE, 1)),
    ]
    topics, bodies = zip(*given, strict=True)
    assert materializer(client).write(topics, bodies).reasons == [None] * 5


def rows(answers: Answers) -> list[dict[str, Any]]:
    return [shop.prediction(value) for value in answers.values if value is not None]


def test_a_request_is_answered_with_all_that_explains_it(client: Client, model: Path) -> None:
    fill(client)
    job = scorer(client, model)
    answers = job.answer([shop.offer("r1", AS_OF)])
    (row,) = rows(answers)
    assert answers.ids == [b"r1"]
    assert answers.reasons == [None]
    assert row["features"] == FULL
    assert list(row["features"]) == list(BUY.feature_types)
    assert row["request"] == {
        "request_id": "r1",
        "event_time": AS_OF,
        "user": "ann",
        "shop": 7,
        "shelf": "top",
        "price": 2.5,
        "colour": "red",
    }
    assert {name: row[name] for name in ("service", "service_version", "variant", "shard")} == {
        "service": "buy",
        "service_version": BUY.fingerprint,
        "variant": "champion",
        "shard": 0,
    }
    assert (row["model"], row["model_version"]) == (job.encoder.model, job.encoder.model_version)
    assert (row["data_version"], row["code_version"]) == ("0123456789abcdef", "0.1.0+0123456789ab")
    assert (row["stale"], row["stale_age_ms"], row["unseen"]) == (False, 0, [])
    assert row["frontier"].timestamp() * 1000 == NOON + 10 * MINUTE
    assert row["scored_at"].timestamp() == 1_400_000_000
    vector = pa.table({name: [value] for name, value in FULL.items()})
    assert row["score"] == models.load(model).predict(vector)[0]


def test_of_several_classes_a_prediction_has_all_scores_and_the_highest(client: Client, tmp_path: Path) -> None:
    fill(client)
    folder = shop.train(tmp_path / "m", classes=5)
    bodies = [shop.offer(f"r{number}", AS_OF, price=number / 2) for number in range(20)]
    found = rows(scorer(client, folder).answer(bodies))
    vectors = {name: pa.array([row["features"][name] for row in found], kind.arrow) for name, kind in BUY.feature_types.items()}
    right = models.load(folder).predict(pa.table(vectors))
    assert [row["scores"] for row in found] == right.tolist() and right.shape == (20, 5)
    assert [row["score"] for row in found] == right.max(axis=1).tolist()
    assert len(set(right.argmax(axis=1).tolist())) > 1


def test_order_is_kept_and_markers_and_bad_records_leave_no_gap(client: Client, model: Path) -> None:
    fill(client)
    bodies = [shop.offer("a", AS_OF), marker(AS_OF), b"", shop.offer("b", AS_OF), None, b"hello", shop.offer("c", AS_OF)]
    answers = scorer(client, model).answer(bodies)
    assert answers.ids == [b"a", None, None, b"b", None, None, b"c"]
    assert [reason and reason.split(":")[0] for reason in answers.reasons] == [
        None,
        None,
        "empty",
        None,
        "tombstone",
        "unknown-format",
        None,
    ]
    assert (answers.predictions, answers.dead_letters) == (3, 3)


def test_unseen_keys_and_stale_features_are_scored_and_say_so(client: Client, model: Path) -> None:
    fill(client)
    bodies = [
        shop.offer("unseen", AS_OF, user="zoe"),
        shop.offer("null", AS_OF, user=None),
        shop.offer("stale", AS_OF + 2 * MINUTE),
        shop.offer("silent", AS_OF - 8 * MINUTE),
    ]
    answers = scorer(client, model).answer(bodies)
    unseen, null, stale, silent = rows(answers)
    assert unseen["unseen"] == null["unseen"] == ["user_clicks"]
    assert unseen["features"] == null["features"] == FULL | {"clicks_5m": 0, "spent_5m": 0.0, "last_amount_10m": None}
    assert (stale["stale"], stale["stale_age_ms"], stale["features"]) == (True, 2 * MINUTE, FULL)
    empty = {"clicks_5m": 0, "spent_5m": 0.0, "last_amount_10m": None, "shelf_clicks_5m": 0, "shelf_most_5m": None}
    assert (silent["stale"], silent["unseen"], silent["features"]) == (False, [], FULL | empty)
    assert (answers.stale, answers.unseen) == (1, 2)


def test_before_the_first_tile_every_request_is_answered_as_stale(client: Client, model: Path) -> None:
    (row,) = rows(scorer(client, model).answer([shop.offer("r", AS_OF)]))
    assert (row["stale"], row["frontier"], row["unseen"]) == (True, None, ["user_clicks", "shelf_clicks"])
    assert row["stale_age_ms"] == np.iinfo(np.int64).max


def test_each_row_is_what_it_is_alone(client: Client, model: Path) -> None:
    fill(client)
    job = scorer(client, model)
    bodies = [shop.offer(f"r{n}", AS_OF + n * 7_000, user=["ann", "zoe", None][n % 3], price=n / 7) for n in range(50)]
    together = job.answer(bodies)
    assert together.values == [job.answer([body]).values[0] for body in bodies]


def test_a_damaged_value_in_the_store_costs_only_the_requests_that_need_it(client: Client, model: Path) -> None:
    fill(client)
    key = EntityKeys(USER.keys, "tidemark").of(["bob"])
    client.hset(key, mapping={tiles_fields(USER)[0]: b"\x0a\x05hello"})  # type: ignore[arg-type]  # redis takes bytes as well
    answers = scorer(client, model).answer([shop.offer("a", AS_OF), shop.offer("b", AS_OF, user="bob"), shop.offer("c", AS_OF)])
    assert answers.ids == [b"a", None, b"c"]
    assert str(answers.reasons[1]).startswith("unscorable: DataError: ")


def test_strings_that_are_no_unicode_are_refused_alone(client: Client, model: Path) -> None:
    fill(client)
    body = b'{"request_id": "x", "event_time": %d, "user": "\\ud800", "shop": 7, "shelf": "top", "price": 2.5, "colour": "red"}' % AS_OF
    answers = scorer(client, model).answer([shop.offer("a", AS_OF), body])
    assert answers.ids == [b"a", None]
    assert answers.reasons[1] is not None


def test_each_request_is_answered_by_its_shard_and_says_which(client: Client, tmp_path: Path) -> None:
    fill(client)
    shards = ShardMap.of(["user"], shards=4, segments=["ann"])
    folder = shop.train(tmp_path / "m", shards=shards, without=(1,))
    users = ["ann", *(f"u{number}" for number in range(40)), None]
    bodies = [shop.offer(f"r{number}", AS_OF, user=user) for number, user in enumerate(users)]
    answers = scorer(client, folder).answer(bodies)
    loaded = models.load(folder)
    assert loaded.shards is not None
    for user, row in zip(users, rows(answers), strict=True):
        shard = PARENT if user is None else int(shards.route(pa.table({"user": [user]}))[0])
        shard = PARENT if shard == 1 else shard
        booster = loaded.trees if shard == PARENT else loaded.shards.boosters.of(shard)
        vector = pa.table({name: pa.array([row["features"][name]], type=kind.arrow) for name, kind in BUY.feature_types.items()})
        assert (row["shard"], row["score"]) == (shard, predict(booster, loaded.manifest.encoding.matrix(vector))[0, 0]), user
        assert row["model_version"] == loaded.version
    told = [row["shard"] for row in rows(answers)]
    assert set(told) == {0, 2, 3, 4, PARENT} and told[0] == 4
    assert (answers.missing_shard, answers.shard_loads) == (told.count(PARENT), 4)


def test_a_request_without_a_shard_is_refused_where_the_map_says_so_and_costs_no_other_its_answer(client: Client, tmp_path: Path) -> None:
    fill(client)
    folder = shop.train(tmp_path / "m", shards=ShardMap.of(["user"], segments=["ann"], missing=Missing.REFUSE))
    bodies = [shop.offer(f"r{number}", AS_OF, user=user) for number, user in enumerate(["zoe", "ann", None, "ann"])]
    answers = scorer(client, folder).answer(bodies)
    assert answers.ids == [None, b"r1", None, b"r3"]
    assert [reason and reason.split(":")[0] for reason in answers.reasons] == ["no-shard", None, "no-shard", None]
    assert [row["request"]["request_id"] for row in rows(answers)] == ["r1", "r3"]
    assert (answers.missing_shard, answers.predictions, answers.dead_letters) == (2, 2, 2)
    alone = scorer(client, folder).answer([bodies[0]])
    assert (alone.ids, alone.predictions, alone.dead_letters) == ([None], 0, 1)


def test_a_damaged_shard_costs_only_its_own_requests(client: Client, tmp_path: Path) -> None:
    fill(client)
    shards = ShardMap.of(["user"], segments=["ann", "bob"])
    folder = shop.train(tmp_path / "m", shards=shards)
    (folder / "shards" / "1.txt").write_text("tree")
    bodies = [shop.offer(f"r{number}", AS_OF, user=user) for number, user in enumerate(["ann", "bob", "zoe", "bob", "ann"])]
    answers = scorer(client, folder).answer(bodies)
    assert answers.ids == [b"r0", None, b"r2", None, b"r4"]
    assert str(answers.reasons[1]).startswith("unscorable: DataError: ") and "shards/1.txt: damaged" in str(answers.reasons[1])


def test_an_unreachable_store_answers_nothing(model: Path) -> None:
    with pytest.raises(ServiceError, match=r"^redis 127\.0\.0\.1:1: "):
        scorer(connect("redis://127.0.0.1:1/0"), model).answer([shop.offer("a", AS_OF)])


def test_frontiers_of_other_views_do_not_matter(client: Client, model: Path) -> None:
    fill(client)
    RedisStore(client).frontiers().closed("elsewhere", [(NOON, 0)])
    TileWriter(USER, RedisStore(client)).close(NOON + 11 * MINUTE, 0)
    (row,) = rows(scorer(client, model).answer([shop.offer("r", AS_OF)]))
    assert row["frontier"].timestamp() * 1000 == NOON + 10 * MINUTE
