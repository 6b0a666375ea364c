"""What a job may not go on with, by what the control topic and the tiles topics of a real broker say of views of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from features.plan import ViewPlan
from infra.settings import Settings
from jobs.control.deployed import forget, record_features_job, refuse_other_graph, refuse_other_tiles
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from schemas.errors import SettingError
from tests import shop
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.e2e

NAME, SOURCE = "applied_view", "applied_clicks"


def view(name: str = NAME, **changed: object) -> ViewPlan:
    found = shop.plan().views["user_clicks"]
    return replace(found, name=name, source=replace(found.source, name=SOURCE), **changed)  # type: ignore[arg-type]


@pytest.fixture
def applied(settings: Settings) -> Iterator[Settings]:
    """A runtime in which a features job was submitted with the view, and may never have run."""
    record_features_job(settings, [SOURCE], [view()])
    try:
        yield settings
    finally:
        forget(settings, NAME)


def test_a_changed_view_is_refused_once_its_topic_has_held_a_tile_and_not_before(applied: Settings) -> None:
    changed = view(tile_ms=5 * shop.MINUTE)
    refuse_other_tiles(applied, [changed])  # its topic is not even there
    admin.create(Connection.of(applied), [changed.tiles_topic], partitions=2, replication=1)
    refuse_other_tiles(applied, [changed])
    producer = Producer({"bootstrap.servers": applied.kafka_servers, "log_level": 0})
    producer.produce(changed.tiles_topic, b"a tile")
    assert producer.flush(PATIENCE_S) == 0
    with pytest.raises(SettingError, match=rf'^view "{NAME}" is not what topic {changed.tiles_topic} holds tiles of: tile: 1m → 5m; '):
        refuse_other_tiles(applied, [changed])
    refuse_other_tiles(applied, [view()])


@pytest.mark.parametrize(
    ("views", "told"),
    [
        (["same"], None),
        (["same", "new"], r"view applied_other added since its checkpoint, .* --fresh .* `tidemark submit features --only applied_other`"),
        (["new"], r"view applied_other added; view applied_view removed since its checkpoint"),
        (["changed"], r"view applied_view changed since its checkpoint"),
    ],
)
def test_a_job_that_would_go_on_with_other_views_than_its_checkpoint_s_names_them(
    applied: Settings, views: list[str], told: str | None
) -> None:
    known = {"same": view(), "new": view("applied_other"), "changed": view(tile_ms=5 * shop.MINUTE)}
    given = [known[name] for name in views]
    if told is None:
        refuse_other_graph(applied, given, [SOURCE])
    else:
        with pytest.raises(SettingError, match=f"^{told}"):
            refuse_other_graph(applied, given, [SOURCE])
    refuse_other_graph(applied, given, ["a source without a job"])
