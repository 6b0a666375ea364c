"""Views as wide as teams make them, with names that SQL knows too: what passes `tidemark check` starts, on the embedded cluster as it is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from features.catalog import load
from infra import flink, flink_submission, runtime
from infra.settings import Settings
from schemas.errors import ServiceError
from tests.waiting import PATIENCE_S

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
SCHEMAS = Path(__file__).parents[1] / "features" / "every" / "schemas"
NAMES = ("select", "values", "window", "tumble", "input", "base", "v" * 100)


def view(name: str, features: list[str], *, entity: str, tile: int) -> str:
    listed = ", ".join(f'"f{number}": {feature}.over(60 * minute)' for number, feature in enumerate(features))
    return f"{name} = FeatureView(entity={entity}, source=table, tile={tile} * minute, features={{{listed}}})\n"


def defined(folder: Path, sizes: list[int]) -> Path:
    """Definitions of views with so many aggregations each."""
    folder.mkdir()
    views, wanted = [], dict[str, int]()
    for number, size in enumerate(sizes):
        name = NAMES[number] if len(sizes) == len(NAMES) else f"view{number}"
        plain = [PLAIN[each % len(PLAIN)].format(each) for each in range(size - len(STEPS))]
        wanted[name] = size
        views.append(view(name, [*STEPS, *plain], entity=("order", "group")[number % 2], tile=1 + number % 3))
    (folder / "wide.py").write_text(HEAD + "".join(views))
    found = load(folder, SCHEMAS).views
    assert found.keys() == wanted.keys()
    assert all(len(found[name].features) >= size for name, size in wanted.items())  # some aggregations have several columns
    return folder


def of(settings: Settings, definitions: Path) -> Settings:
    """The settings of a job of these definitions."""
    return replace(settings, definitions=definitions, schemas=SCHEMAS, start_timeout_ms=900_000)


def runs(settings: Settings) -> int:
    """All its tasks do; returns how many there are."""
    cluster, job = (
        flink.Cluster(settings.flink_url),
        flink_submission.submit("jobs.features", [], name="features-wide", settings=settings, fresh=True),
    )
    try:
        found = cluster.job(job)
        assert (found.state, found.tasks[0]) == ("RUNNING", found.tasks[1])
        return found.tasks[1]
    finally:
        cluster.cancel(job)


def test_seven_views_of_sixty_to_a_hundred_aggregations_run_in_one_slot(settings: Settings, tmp_path: Path) -> None:
    sizes = [60 + 40 * number // 6 for number in range(7)]
    assert runs(of(settings, defined(tmp_path / "definitions", sizes))) > 150


def test_a_view_of_three_hundred_aggregations_runs_in_one_slot(settings: Settings, tmp_path: Path) -> None:
    runs(of(settings, defined(tmp_path / "definitions", [300])))


def test_forty_views_are_refused_with_the_number_with_which_they_run(settings: Settings, tmp_path: Path) -> None:
    definitions = defined(tmp_path / "definitions", [8] * 40)
    told = (
        r"its \d+ window operators need (\d+) MB of a slot, .*; its exchanges need \d+ network buffers, .*: "
        r"TIDEMARK_FLINK_SLOT_MEMORY=\1MB and TIDEMARK_FLINK_NETWORK_MEMORY=(\d+MB), then "
    )
    with pytest.raises(ServiceError, match=told) as refused:
        runs(of(settings, definitions))
    found = re.search(told, str(refused.value))
    assert found is not None
    environ = {"HOME": str(tmp_path / "home"), "FLINK_SLOTS": "2", "START_TIMEOUT": f"{PATIENCE_S:.0f}s"}
    environ |= {"FLINK_SLOT_MEMORY": f"{found[1]}MB", "FLINK_NETWORK_MEMORY": found[2]}
    roomy = Settings.load(environ={f"TIDEMARK_{name}": value for name, value in environ.items()}, folder=tmp_path)
    with runtime.started(roomy):
        runs(of(roomy, definitions))
