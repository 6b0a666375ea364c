"""Views as wide as teams make them, with names that SQL knows too: what passes `tidemark check` starts, on the embedded cluster as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from features.catalog import load
from infra import flink
from infra.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.large]

PLAIN = (
    'Count(where="amount > {}")',
    'Sum("amount", where="amount > {}")',
    'Mean("discount", where="amount > {}")',
    'Min("amount", where="amount > {}")',
    'Max("amount", where="amount > {}")',
    'StdDev("amount", where="amount > {}")',
    'Sum("items", where="amount > {}")',
)
STEPS = (
    'Last("amount")',
    'First("colour")',
    'CountDistinct("shop")',
    'TopK("colour", k=1)',
    'Quantile("amount", q=0.5)',
    'LastN("amount", n=3)',
)
"""Each has operators of its own in the graph."""
HEAD = """
from datetime import timedelta
from features import Count, CountDistinct, Entity, FeatureView, First, Last, LastN, Max, Mean, Min, Quantile, Source, StdDev, Sum, TopK

minute = timedelta(minutes=1)
table = Source(topic="wide-events", schema="event", lateness=timedelta(seconds=5))
order, group = Entity(keys=["shop"]), Entity(keys=["user"])
"""
NAMES = ("select", "values", "window", "tumble", "input", "base", "v" * 100)


def view(name: str, features: list[str], *, entity: str, tile: int) -> str:
    listed = ", ".join(f'"f{number}": {feature}.over(60 * minute)' for number, feature in enumerate(features))
    return f"{name} = FeatureView(entity={entity}, source=table, tile={tile} * minute, features={{{listed}}})\n"


@pytest.fixture
def wide(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Seven views of sixty to a hundred aggregations."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    views = []
    for number, name in enumerate(NAMES):
        plain = [PLAIN[each % len(PLAIN)].format(each) for each in range(60 + 40 * number // 6 - len(STEPS))]
        views.append(view(name, [*STEPS, *plain], entity=("order", "group")[number % 2], tile=1 + number % 3))
    (folder / "wide.py").write_text(HEAD + "".join(views))
    schemas = Path(__file__).parents[1] / "features" / "every" / "schemas"
    plan = load(folder, schemas)
    assert {len(each.features) >= 60 for each in plan.views.values()} == {True}
    assert max(len(each.features) for each in plan.views.values()) >= 100
    own = replace(
        settings, definitions=folder, schemas=schemas, kafka=settings.kafka_servers, redis=settings.redis_url, start_timeout_ms=900_000
    )
    yield own
    cluster = flink.Cluster(settings.flink_url)
    if (job := cluster.running("features-wide")) is not None:
        cluster.cancel(job.id)


def test_seven_views_of_sixty_to_a_hundred_aggregations_run_in_one_slot(wide: Settings) -> None:
    job = flink.submit("jobs.features", [], name="features-wide", settings=wide)
    found = flink.Cluster(wide.flink_url).job(job)
    assert (found.state, found.tasks[0]) == ("RUNNING", found.tasks[1])
    assert found.tasks[1] > 150
