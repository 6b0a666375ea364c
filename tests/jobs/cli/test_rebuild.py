"""What the topics no longer keep comes from history: a real Spark makes the tiles, a real Valkey keeps both generations."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from rich.progress import Progress

from inference.materializer import Materializer
from inference.online.active_generation import project_of
from inference.online.generation_diff import Comparison, Generations, last
from inference.online.redis.connection import Client
from inference.online.redis.store import RedisStore
from inference.online.writer import TileWriter
from jobs.generations.fill import fill
from jobs.spark.tiles_of_history import Wanted
from tests import shop
from tests.inference.conftest import valkey
from tests.jobs.parity.test_parity import BUY, END, client, spark, tiles
from tests.jobs.test_bootstrap import archived, history, is_late
from tests.shop import MINUTE, NOON

__all__ = ["client", "spark", "valkey"]
pytestmark = pytest.mark.e2e

HALF = NOON + 15 * MINUTE
ONE, TWO = project_of(1), project_of(2)


def stream(client: Client, project: str, *, first_ms: int) -> None:
    """What materialize writes of topics that keep tiles and closings from a time on."""
    on_time = [row for row in archived() if not is_late(row)]
    writers = {view.name: TileWriter(view, RedisStore(client), project=project) for view in BUY.views}
    frontiers = RedisStore(client).frontiers(project=project)
    materializer = Materializer(views=BUY.views, writers=writers, frontiers=frontiers, schemas=shop.schemas())
    for view in BUY.views:
        own = [row for row in tiles(view, on_time).values() if row["tile_start"] >= first_ms]
        bodies = [shop.tile(view, start_ms=row["tile_start"], **{k: v for k, v in row.items() if k != "tile_start"}) for row in own]
        closings = [
            shop.closing(view.name, end, sum(row["tile_start"] + MINUTE == end for row in own))
            for end in range(first_ms + MINUTE, END + 1, MINUTE)
        ]
        topics = [view.tiles_topic] * len(bodies) + ["tidemark.frontier"] * len(closings)
        assert set(materializer.write(topics, bodies + closings).reasons) == {None}


def compare(client: Client) -> Comparison:
    return last(Generations(store=RedisStore(client), views=BUY.views, first=ONE, second=TWO, slack_ms=86_400_000).compare())


def test_history_fills_in_what_the_topics_no_longer_keep(client: Client, spark: SparkSession, tmp_path: Path) -> None:
    stream(client, ONE, first_ms=NOON)
    stream(client, TWO, first_ms=HALF)
    lacking = compare(client)
    assert {each.what for each in lacking.examples} == {"missing"}
    wanted = Wanted(
        views=BUY.views, schemas=shop.schemas(), events=history(tmp_path, archived()), as_known=False, late_only=False, until_ms=END
    )
    with Progress(disable=True) as progress:
        count = fill(spark, wanted, RedisStore(client), TWO, tmp_path / "tiles", slack_ms=86_400_000, ttl_ms=None, progress=progress)
    on_time = [row for row in archived() if not is_late(row)]
    assert count == sum(len(tiles(view, on_time)) for view in BUY.views)
    found = compare(client)
    assert found.equal, found.examples
    assert found.tiles == {view.name: len(tiles(view, on_time)) for view in BUY.views}
    assert not client.keys(f"tidemark:{TWO}:*:pending:*")  # nothing waits for closings that are gone
