"""A changed view from its plan to the end of the old one: begun beside it, filled from history, compared with it in its shadow, and the old one retired."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog import load
from features.plan import Plan
from inference.online.redis.connection import Client, connect
from inference.online.redis.layout import tiles_fields
from inference.online.redis.store import RedisStore
from inference.online.view_diff import compare
from infra import flink
from infra.settings import Settings
from jobs.control.frontiers import wait_for
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.end_marker import EndMarker
from jobs.kafka.producer import Publisher
from jobs.parity import archive
from schemas.parquet import parquet_files
from schemas.schema import SchemaSet
from tests import shop
from tests.e2e.command_line import tidemark
from tests.shop import MINUTE, NOON
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.e2e

HALF_MS, SPAN_MS = 22 * MINUTE, 45 * MINUTE
OLD, NEW = "change_user_clicks", "change_user_clicks_v2"
CHANGED = f"""
{NEW} = FeatureView(
    entity=user,
    source=change_clicks,
    tile=5 * minute,
    delay=timedelta(seconds=7),
    features={{
        "v2_clicks_5m": Count().over(5 * minute),
        "v2_last_amount_10m": Last("amount").over(10 * minute),
        "v2_spent_5m": Sum("amount").over(5 * minute),
        "v2_most_5m": Max("amount").over(5 * minute),
    }},
)
"""


@dataclass(frozen=True, kw_only=True)
class River:
    """A shop of its own, in a database of its own, whose definitions change."""

    settings: Settings

    @property
    def plan(self) -> Plan:
        return load(self.settings.definitions, self.settings.schemas)

    @property
    def client(self) -> Client:
        return connect(self.settings.redis_url)

    @property
    def definitions(self) -> Path:
        assert self.settings.definitions is not None
        return self.settings.definitions / "shop.py"

    def tidemark(self, *arguments: str, code: int = 0) -> str:
        return tidemark(self.settings, *arguments, code=code)

    def publish(self, rows: list[dict[str, Any]], *, end: bool) -> None:
        target = self.plan.sources["change_clicks"]
        schema = SchemaSet.load(shop.SCHEMAS).current(target.schema)
        # By amount: each partition gets some events of all times.
        with Publisher(Connection.of(self.settings), target.topic, schema, event_time="event_time", key=["amount"]) as publisher:
            publisher.publish(pa.Table.from_pylist(rows, schema=schema.arrow))
            # Every partition tells the time: which of them the events went to is the client's choice.
            last = EndMarker.of(self.plan, target, newest_ms=NOON + SPAN_MS - 1).marker_ms if end else NOON + HALF_MS - 1
            publisher.marker(last, final=end)

    def wait(self, view: str, until_ms: int) -> None:
        wait_for(lambda: RedisStore(self.client).frontiers().read([view]), until_ms, timeout_s=PATIENCE_S)


@pytest.fixture(scope="module")
def river(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[River]:
    definitions = tmp_path_factory.mktemp("change") / "definitions"
    shutil.copytree(shop.DEFINITIONS, definitions, ignore=shutil.ignore_patterns("__pycache__"))
    for file in definitions.glob("*.py"):
        file.write_text(re.sub(r"\b(clicks|offers|user_clicks|shelf_clicks|buy)\b", r"change_\1", file.read_text()))
    own = replace(
        settings,
        definitions=definitions,
        schemas=shop.SCHEMAS,
        redis=f"{settings.redis_url.rstrip('/')}/7",
        kafka=settings.kafka_servers,
        flink=settings.flink_url,
        idle_timeout_ms=300_000,
        checkpoint_interval_ms=1_000,
    )
    with ExitStack() as ended:
        cluster = flink.Cluster(own.flink_url)

        def end() -> None:
            for job in cluster.jobs():
                if "change" in job.name and job.state not in flink.ENDED:
                    cluster.cancel(job.id)

        ended.callback(end)
        yield River(settings=own)


def clicks(low_ms: int, high_ms: int) -> list[dict[str, Any]]:
    rng = random.Random(low_ms)
    times = sorted(NOON + rng.randrange(low_ms, high_ms) for _ in range(300))
    return [
        {"event_time": at, "user": rng.choice(["ann", "bob"]), "shop": 7, "shelf": "top", "amount": rng.uniform(0.1, 9.0)} for at in times
    ]


def test_a_changed_view_takes_the_place_of_the_old_one(river: River) -> None:
    settings, rows = river.settings, clicks(0, HALF_MS)
    river.tidemark("submit", "features", "change_clicks", "--fresh")
    river.tidemark("submit", "materialize", "--fresh", "--name", "materialize-change")
    river.publish(rows, end=False)
    river.wait(OLD, NOON + HALF_MS - 3 * MINUTE)
    river.tidemark("cancel", "features-change_clicks")
    river.tidemark("submit", "features", "change_clicks", "--fresh")  # in the middle of tiles, which lose nothing
    assert f"view {OLD}:" not in river.tidemark("plan", code=1)  # only the service is not applied yet

    river.definitions.write_text(river.definitions.read_text() + CHANGED)
    sources = [river.plan.sources["change_clicks"]]
    archive.wait(settings, sources, SchemaSet.load(shop.SCHEMAS), settings.home / "archive", waiting=lambda _: None)
    said = river.tidemark("plan", code=1)
    newest = max(row["event_time"] for row in rows)
    lacking = sum(row["event_time"] > newest - 10 * MINUTE for row in rows)
    assert f"+ view {NEW}: added" in said
    assert re.search(rf"lacks 10m: .*, {lacking} events, \d+ tiles of \d+ bytes; `tidemark bootstrap {NEW}`", said), said

    river.tidemark("submit", "features", "--only", NEW)
    river.tidemark("cancel", "materialize-change")
    right = river.definitions.read_text()
    river.definitions.write_text(right.replace("tile=5 * minute", "tile=minute"))
    said = river.tidemark("submit", "materialize", "--name", "materialize-change", code=2)
    assert f'view "{NEW}" is not what topic tidemark.tiles.{NEW} holds tiles of: tile: 5m → 1m; ' in said
    river.definitions.write_text(right)
    river.tidemark("submit", "materialize", "--name", "materialize-change")
    rows += clicks(HALF_MS, SPAN_MS)
    river.publish(rows[300:], end=True)
    for view in (OLD, NEW):
        river.wait(view, NOON + SPAN_MS)
    assert "✗" in river.tidemark("shadow", OLD, NEW, "--points", "8", code=1)  # it has not seen what was before it

    archive.wait(settings, sources, SchemaSet.load(shop.SCHEMAS), settings.home / "archive", waiting=lambda _: None)
    river.tidemark("bootstrap", NEW)
    views = river.plan.views
    eventually(
        "the same values in both",
        lambda: all(
            not each.different for each in [*compare(RedisStore(river.client), views[OLD], views[NEW], project="tidemark", points=8)][-1]
        ),
    )
    said = river.tidemark("shadow", OLD, NEW, "--points", "8")
    assert "✓ equal: 48 values" in said
    assert f"only {NEW} has v2_most_5m" in said

    kept = pa.concat_tables(pq.read_table(file) for file in parquet_files(settings.home / "archive" / "change_clicks"))
    assert len(kept) == len(rows)  # by the one job of the source alone
    places = [(message.key(), message.value()) for message in messages(Connection.of(settings), views[NEW].tiles_topic)]
    assert len(places) == len(set(places))

    assert 'view "change_user_clicks" is in the definitions, unchanged' in river.tidemark("retire", OLD, code=2)
    text = river.definitions.read_text()
    first, last = text.index(f"{OLD} = "), text.index("change_shelf_clicks = ")
    river.definitions.write_text((text[:first] + text[last:]).replace(f"[{OLD}, change_shelf_clicks]", "[change_shelf_clicks]"))
    assert f"− view {OLD}: removed" in river.tidemark("plan", code=1)
    assert 'runs with view "change_user_clicks"' in river.tidemark("retire", OLD, code=2)
    for job in ("features-change_clicks", "materialize-change"):
        river.tidemark("cancel", job)
    assert f"{OLD}: topics tidemark.tiles.{OLD} and tidemark.tiles.{OLD}.dlq deleted" in river.tidemark("retire", OLD)
    (field, _), client = tiles_fields(views[OLD]), river.client
    hashes: list[Any] = [key for key in river.client.keys("*") if client.type(key) == b"hash"]  # type: ignore[union-attr]
    assert hashes
    assert not any(field in client.hgetall(key) for key in hashes)  # type: ignore[operator]
    assert f"view {OLD}:" not in river.tidemark("plan", code=1)
