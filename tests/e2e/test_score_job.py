"""Materialize and score on the real services: tiles and closings by hand, then requests, dead letters, and processes killed in the middle."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest
from confluent_kafka import Message

from features.compiler.feast import AS_OF as AS_OF_FIELD
from features.plan import FRONTIER_TOPIC
from inference.feast_registry import feature_store
from inference.model.loading import load
from inference.online.connection import connect
from inference.online.frontier import Frontiers
from inference.shards.shard_map import Missing, ShardMap
from infra import flink, flink_submission
from infra.settings import Delivery, Settings
from jobs.control.code_version import code_version
from jobs.control.frontiers import wait_for
from jobs.flink.topics_read import topics_read
from jobs.kafka.admin import broker_setting
from jobs.kafka.connection import Connection
from jobs.kafka.producer import Publisher
from jobs.score import transaction_timeout_ms
from schemas.errors import DataError, SettingError
from schemas.wire import marker
from tests import shop
from tests.e2e.scoring import (
    BUY,
    PREDICTIONS,
    REQUESTS,
    ask,
    code,
    commit_all_there_is,
    counters,
    headers_of,
    job,
    kill,
    message_at,
    messages,
    predictions,
    produce,
    python_workers,
    wait_for_messages,
)
from tests.shop import MINUTE, NOON
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.e2e

PLAN = shop.plan()
USER, SHELF = PLAN.views["user_clicks"], PLAN.views["shelf_clicks"]
AS_OF = NOON + 10 * MINUTE + USER.delay_ms  # the boundary is ten past noon


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """The session's runtime, with the shop's definitions."""
    return replace(settings, definitions=shop.DEFINITIONS, schemas=shop.SCHEMAS, checkpoint_interval_ms=1_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.train(tmp_path_factory.mktemp("models") / "buy")


@pytest.fixture(scope="module")
def store(settings: Settings) -> Iterator[Frontiers]:
    """The store, filled by materialize up to ten past noon."""
    frontiers = connect(settings.redis_url).frontiers()
    with job(settings, "jobs.materialize", name="materialize-shop"):
        produce(
            settings,
            USER.tiles_topic,
            [shop.user_tile(USER, NOON + 6 * MINUTE, "ann", 1.0, 2.0), shop.user_tile(USER, NOON + 9 * MINUTE, "ann", 4.0)],
        )
        produce(settings, USER.tiles_topic, [b"\x80", shop.user_tile(USER, NOON + 9 * MINUTE, "bob", 8.0), None])
        produce(
            settings,
            FRONTIER_TOPIC,
            [shop.closing(USER.name, NOON + 7 * MINUTE, 1), shop.closing(USER.name, NOON + 10 * MINUTE, 2)],
            key=USER.name,
        )
        produce(settings, SHELF.tiles_topic, [shop.shelf_tile(SHELF, NOON + 9 * MINUTE, 7, "top", 4.0, 8.0)])
        produce(
            settings, FRONTIER_TOPIC, [shop.closing(SHELF.name, NOON + 10 * MINUTE, 1), shop.closing("nobody", NOON, 0)], key=SHELF.name
        )
        wait_for(lambda: frontiers.read([USER.name, SHELF.name]), NOON + 10 * MINUTE, timeout_s=PATIENCE_S)
        yield frontiers


def test_materialize_fills_the_store_and_refuses_what_it_cannot_read(settings: Settings, store: Frontiers) -> None:
    assert store.read([USER.name, SHELF.name]) == {USER.name: NOON + 10 * MINUTE, SHELF.name: NOON + 10 * MINUTE}
    refused = wait_for_messages(settings, f"{USER.tiles_topic}.dlq", 2)
    assert {(message.value(), code(message)) for message in refused} == {(b"\x80", "truncated"), (None, "tombstone")}
    letters = f"{FRONTIER_TOPIC}.dlq"
    strangers = wait_for_messages(settings, letters, 1, lambda message: b"nobody" in (message.value() or b""))
    assert [code(message) for message in strangers] == ["unknown-view"]


def test_any_feast_client_reads_the_features_that_materialize_registered(settings: Settings, store: Frontiers) -> None:
    rows = [
        {"request_id": user, "user": user, "shop": 7, "shelf": "top", "price": 2.5, "colour": "red", AS_OF_FIELD: AS_OF}
        for user in ("ann", "zoe")
    ]
    feast = feature_store(redis=settings.redis_url, folder=settings.home / "feast")
    served = feast.get_online_features(features=feast.get_feature_service(BUY.name), entity_rows=rows).to_dict()
    assert {name: served[name] for name in BUY.feature_types} == {
        "price": [2.5, 2.5],
        "colour": ["red", "red"],
        "clicks_5m": [3, 0],
        "spent_5m": [7.0, 0.0],
        "last_amount_10m": [4.0, None],
        "shelf_clicks_5m": [2, 2],
        "shelf_most_5m": [8.0, 8.0],
    }


def test_every_request_is_answered_or_refused(settings: Settings, store: Frontiers, model: Path) -> None:
    too_large = b"\xc3\x01" + bytes(2 << 20)
    good = shop.offer("good", AS_OF)
    given: list[tuple[str, bytes | None]] = [
        ("good", good),
        ("unseen", shop.offer("unseen", AS_OF, user="zoe")),
        ("no-user", shop.offer("no-user", AS_OF, user=None)),
        ("stale", shop.offer("stale", AS_OF + 3 * MINUTE)),
        ("earlier", shop.offer("earlier", AS_OF - 3 * MINUTE)),
        (
            "json",
            b'{"request_id": "json", "event_time": %d, "user": "ann", "shop": 7, "shelf": "top", "price": 2.5, "colour": "red"}' % AS_OF,
        ),
        ("marker", marker(AS_OF)),
        ("empty", b""),
        ("tombstone", None),
        ("truncated", good[:-2]),
        ("over-long", good + b"\0"),
        ("unknown-fingerprint", b"\xc3\x01" + bytes(8) + good[10:]),
        ("unknown-format", b"hello"),
        (
            "wrong-type",
            b'{"request_id": "x", "event_time": %d, "user": "ann", "shop": "seven", "shelf": "top", "price": 2.5, "colour": "red"}' % AS_OF,
        ),
        ("missing", b'{"request_id": "x", "event_time": %d}' % AS_OF),
        ("non-finite", shop.offer("nan", AS_OF, price=float("nan"))),
        ("future", shop.offer("future", 4_102_444_800_000)),
        ("too-large", too_large),
    ]
    with job(settings, "jobs.score", "buy", "--model", str(model), name="score-buy") as job_id:
        cluster = flink.Cluster(settings.flink_url)
        materialize = cluster.running("materialize-shop")
        assert topics_read(cluster, job_id) == {REQUESTS}
        assert materialize is not None and topics_read(cluster, materialize.id) == {USER.tiles_topic, SHELF.tiles_topic, FRONTIER_TOPIC}
        for key, body in given:
            produce(settings, REQUESTS, [body], key=key)
        answers = {row["request_id"]: row for row in predictions(wait_for_messages(settings, PREDICTIONS, 6))}
        refused = {(message.key() or b"").decode(): message for message in wait_for_messages(settings, f"{REQUESTS}.dlq", 11)}

    assert sorted(answers) == ["earlier", "good", "json", "no-user", "stale", "unseen"]
    full = {
        "price": 2.5,
        "colour": "red",
        "clicks_5m": 3,
        "spent_5m": 7.0,
        "last_amount_10m": 4.0,
        "shelf_clicks_5m": 2,
        "shelf_most_5m": 8.0,
    }
    assert answers["good"]["features"] == answers["json"]["features"] == full
    assert (answers["good"]["stale"], answers["good"]["stale_age_ms"], answers["good"]["unseen"]) == (False, 0, [])
    assert answers["good"]["service_version"] == BUY.fingerprint
    assert answers["unseen"]["unseen"] == answers["no-user"]["unseen"] == [USER.name]
    assert answers["unseen"]["features"] == full | {"clicks_5m": 0, "spent_5m": 0.0, "last_amount_10m": None}
    assert (answers["stale"]["stale"], answers["stale"]["stale_age_ms"]) == (True, 3 * MINUTE)
    assert answers["stale"]["features"] == full  # the newest complete tiles
    assert answers["earlier"]["features"] == full | {
        "clicks_5m": 2,
        "spent_5m": 3.0,
        "last_amount_10m": 2.0,
        "shelf_clicks_5m": 0,
        "shelf_most_5m": None,
    }
    assert len({row["score"] for row in answers.values()}) > 1
    assert {row["data_version"] for row in answers.values()} == {""}  # a model that nobody trained on a backfill
    assert {row["code_version"] for row in answers.values()} == {str(code_version())}

    assert {key: code(message) for key, message in refused.items()} == {key: key for key, _ in given[7:]}
    for key, body in given[7:]:
        assert refused[key].value() == body
        headers = headers_of(refused[key])
        assert headers["source_topic"] == REQUESTS
        assert message_at(settings, REQUESTS, int(headers["source_partition"]), int(headers["source_offset"])).value() == body


def test_a_subtask_holds_the_shards_of_its_partitions_alone(settings: Settings, store: Frontiers, tmp_path: Path) -> None:
    shards = ShardMap.of(["user"], shards=16)
    folder = shop.train(tmp_path / "m", shards=shards, trees=3)
    loaded = load(folder).shards
    assert loaded is not None
    room = 8 * max(member.memory_bytes for member in loaded.boosters.members.values())
    settings = replace(settings, parallelism=2, shard_memory_bytes=room)
    run = uuid4().hex[:8]
    users = {f"{run}-{number}": f"user {number}" for number in range(400)}
    rows = [
        {"request_id": request_id, "event_time": AS_OF, "user": user, "shop": 7, "shelf": "top", "price": 2.5, "colour": "red"}
        for request_id, user in users.items()
    ]
    schema = shop.schemas().current(BUY.request.schema)
    commit_all_there_is(settings)
    with job(settings, "jobs.score", "buy", "--model", str(folder), name="score-by-key") as job_id:
        with Publisher(Connection.of(settings), REQUESTS, schema, event_time="event_time", key=shards.key) as publisher:
            publisher.publish(pa.Table.from_pylist(rows, schema=schema.arrow))
        of_run = wait_for_messages(settings, PREDICTIONS, len(users), lambda message: (message.key() or b"").startswith(run.encode()))
        loads: dict[str, int] = {}

        def told() -> bool:
            loads.update(counters(settings, job_id, "shard_loads"))
            return sum(loads.values()) >= 16

        eventually(lambda: f"shard loads {loads}", told)
        batches = counters(settings, job_id, "batches")
    answered = {row["request_id"]: row["shard"] for row in predictions(of_run)}
    expected = shards.route(pa.table({"user": list(users.values())})).tolist()
    assert answered == dict(zip(users, expected, strict=True))
    asked = [message for message in messages(settings, REQUESTS) if (message.key() or b"").decode() in users.values()]
    assert {(message.key() or b"").decode(): message.partition() for message in asked} == {
        user: shard % 2 for user, shard in zip(users.values(), expected, strict=True)
    }
    assert all(0 < batches[name.replace("shard_loads", "batches")] <= len(users) for name in loads)
    assert sorted(loads.values()) == [8, 8]  # with the others' as well there would be no room for all, and more loads


def test_a_model_cut_by_its_trees_is_answered_by_workers_of_their_own(settings: Settings, store: Frontiers, tmp_path: Path) -> None:
    shards = ShardMap.of(["user"], segments=["ann", "bob"], missing=Missing.REFUSE)
    folder = shop.train(tmp_path / "m", shards=shards, stages=3, classes=4)
    run = uuid4().hex[:8]
    users = {f"{run}-{number}": ["ann", "bob", "zoe"][number % 3] for number in range(300)}
    before = python_workers(settings)
    with job(settings, "jobs.score", "buy", "--model", str(folder), name="score-by-trees") as job_id:
        for request_id, user in users.items():
            produce(settings, REQUESTS, [shop.offer(request_id, AS_OF, user=user)], key=request_id, flush=False)
        produce(settings, REQUESTS, [b"hello"], key=run)
        of_run = wait_for_messages(settings, PREDICTIONS, 200, lambda message: (message.key() or b"").startswith(run.encode()))
        refused = wait_for_messages(settings, f"{REQUESTS}.dlq", 101, lambda message: (message.key() or b"").startswith(run.encode()))
        workers = python_workers(settings) - before
        groups = [vertex["name"] for vertex in ask(settings, f"/jobs/{job_id}")["vertices"]]
    assert len(groups) == 3, groups  # not chained: each stage is a vertex, with slots of its own
    assert len(workers) == 3, workers
    whole = load(folder)
    for row in predictions(of_run):
        features = pa.table({name: pa.array([row["features"][name]], type=kind.arrow) for name, kind in BUY.feature_types.items()})
        score = whole.score_table(features, pa.table({"user": [users[row["request_id"]]]}))
        assert (row["scores"], row["shard"], row["model_version"]) == (score.score[0].tolist(), score.shard[0], whole.version)
        assert row["score"] == max(row["scores"]) and len(row["scores"]) == 4
    assert Counter(map(code, refused)) == {"no-shard": 100, "unknown-format": 1}


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_nothing_is_lost_when_processes_are_killed(settings: Settings, store: Frontiers, model: Path, delivery: Delivery) -> None:
    settings = replace(settings, delivery=delivery)
    run = uuid4().hex[:8]
    ids = [f"{run}-{number:05}" for number in range(3_000)]
    before = len(messages(settings, PREDICTIONS))
    with job(settings, "jobs.score", "buy", "--model", str(model), name=f"score-buy-{delivery}") as job_id:
        for step, identity in enumerate(ids):
            produce(settings, REQUESTS, [shop.offer(identity, AS_OF)], key="one partition", flush=False)
            if step == 1_000:
                wait_for_messages(settings, PREDICTIONS, before + 500)
                kill(settings, "flink-taskmanager")
            elif step == 2_000 and delivery == "at_least_once":
                kill(settings, "valkey")
        produce(settings, REQUESTS, [])

        def answers() -> list[Message]:
            return [message for message in messages(settings, PREDICTIONS) if (message.key() or b"").startswith(run.encode())]

        def answered() -> int:
            return len({message.key() for message in answers()})

        eventually(lambda: f"{answered()} of {len(ids)} answered", lambda: answered() == len(ids))
        cluster = flink.Cluster(settings.flink_url)
        eventually("the restart is told; without one nothing was shown", lambda: cluster.job(job_id).restarts > 0)
    rows = answers()
    counts = Counter((message.key() or b"").decode() for message in rows)
    assert sorted(counts) == ids
    if delivery == "exactly_once":
        assert set(counts.values()) == {1}
        for partition in {message.partition() for message in rows}:
            keys = [message.key() or b"" for message in rows if message.partition() == partition]
            assert keys == sorted(keys)  # of one partition of requests the order stays


def test_a_model_that_cannot_serve_is_one_clear_line_before_any_job_starts(settings: Settings, model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    with (damaged / "model.txt").open("ab") as file:
        file.write(b"!")
    with pytest.raises(DataError, match=r"^job score-nothing: not submitted: .*model\.txt: damaged: its sha256 is .*$"):
        flink_submission.submit("jobs.score", ["buy", "--model", str(damaged)], name="score-nothing", settings=settings, fresh=True)
    assert all(each.name != "score-nothing" for each in flink.Cluster(settings.flink_url).jobs())


def test_transactions_that_the_broker_would_end_too_early_are_refused(settings: Settings) -> None:
    assert transaction_timeout_ms(settings) == int(broker_setting(Connection.of(settings), "transaction.max.timeout.ms"))
    with pytest.raises(
        SettingError, match=r"^TIDEMARK_DELIVERY: exactly_once needs transactions of 2 h 5 min .* transaction\.max\.timeout\.ms is 1 h"
    ):
        transaction_timeout_ms(replace(settings, checkpoint_interval_ms=7_200_000))
