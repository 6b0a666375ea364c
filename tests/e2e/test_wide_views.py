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


SHAPES = {
    "seven of sixty to a hundred": [60 + 40 * number // 6 for number in range(7)],
    "one of three hundred": [300],
    "forty of eight": [8] * 40,
}
"""Name → how many features each view has."""


@pytest.fixture(params=SHAPES)
def wide(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Definitions of one of these shapes."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    sizes, views = SHAPES[request.param], []
    for number, size in enumerate(sizes):
        name = NAMES[number] if len(sizes) == len(NAMES) else f"view{number}"
        plain = [PLAIN[each % len(PLAIN)].format(each) for each in range(size - len(STEPS))]
        views.append(view(name, [*STEPS, *plain], entity=("order", "group")[number % 2], tile=1 + number % 3))
    (folder / "wide.py").write_text(HEAD + "".join(views))
    schemas = Path(__file__).parents[1] / "features" / "every" / "schemas"
    assert sum(len(each.features) for each in load(folder, schemas).views.values()) >= sum(sizes)  # an aggregation may have several columns
    own = replace(
        settings, definitions=folder, schemas=schemas, kafka=settings.kafka_servers, redis=settings.redis_url, start_timeout_ms=900_000
    )
    yield own
    cluster = flink.Cluster(settings.flink_url)
    if (job := cluster.running("features-wide")) is not None:
        cluster.cancel(job.id)


def test_wide_views_and_many_run_in_one_slot(wide: Settings) -> None:
    """Seven of sixty to a hundred features have more than 150 tasks."""
    job = flink.submit("jobs.features", [], name="features-wide", settings=wide, fresh=True)
    found = flink.Cluster(wide.flink_url).job(job)
    assert (found.state, found.tasks[0]) == ("RUNNING", found.tasks[1])
