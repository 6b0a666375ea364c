"""Every topic: its name and what it is created with, seen by having the topics of the shipped example created by a broker that is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from unittest.mock import patch

from features.catalog import load
from features.plan import FRONTIER_TOPIC, Plan
from infra.settings import Settings
from jobs.control import topic as control
from jobs.kafka import admin
from tests.docs.reference.table import table

HEAD = """# Topics

`SOURCE` is a source's `topic=`, `VIEW` and `SERVICE` are names of the definitions. A topic that is not there is created, when a job is submitted or records are published, with
`TIDEMARK_PARTITIONS` partitions (the control topic with one), `TIDEMARK_REPLICATION` replicas and the settings below; one that is there stays as it is.
Names that begin with `tidemark.` or end with `.dlq` or `.late` are reserved. Consumer groups and transactional ids begin with `tidemark.`.

"""

ANY_TIME = """
*any time* stands for `retention.ms=-1`, `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms` at their largest: history is published with its own times, which Kafka would
otherwise delete within minutes or refuse. *one segment* stands for `segment.ms` at its largest, so that ten years of history are not hundreds of open files; with `TIDEMARK_TILES_RETENTION` it is
`retention.ms` instead, for tiles and their frontier. Letters have room for the broker's `message.max.bytes` and 64 KiB of headers.
"""

BROKERS_MAXIMUM = 1 << 20
_UNBOUNDED = str(2**63 - 1)
_TIMES = {"message.timestamp.before.max.ms": _UNBOUNDED, "message.timestamp.after.max.ms": _UNBOUNDED}


def page() -> str:
    """The page."""
    plan = load(None, None)
    created = configurations(plan)
    source, view, service = next(iter(plan.sources.values())), next(iter(plan.views.values())), next(iter(plan.services.values()))
    rows = (
        ("`SOURCE`", "events or requests, by any producer; what a source's records may be, and markers", source.topic),
        ("`SOURCE.dlq`", "what the gate or the scorer refused, bytes untouched, with the reason in headers", source.dead_letter_topic),
        ("`SOURCE.late`", "events behind the watermark, with the reason in headers", source.late_topic),
        ("`tidemark.tiles.VIEW`", "a view's tiles, keyed by entity: the durable log from which the store is filled", view.tiles_topic),
        ("`tidemark.tiles.VIEW.dlq`", "tiles that `materialize` could not read", f"{view.tiles_topic}.dlq"),
        (f"`{FRONTIER_TOPIC}`", "closings: up to when a view's tiles are complete", FRONTIER_TOPIC),
        (f"`{FRONTIER_TOPIC}.dlq`", "closings that `materialize` could not read", f"{FRONTIER_TOPIC}.dlq"),
        ("`SERVICE.predictions`", "predictions, keyed by request id", service.predictions_topic),
        (f"`{control.TOPIC}`", "what is in force: the served generation, and the definitions that jobs were submitted with", control.TOPIC),
    )
    return (
        HEAD
        + table(("Topic", "What is in it", "Created with"), ((name, what, _told(created[topic])) for name, what, topic in rows))
        + ANY_TIME
    )


def configurations(plan: Plan) -> dict[str, Mapping[str, str]]:
    """Every topic that is created for a plan, and with which settings."""
    created: dict[str, Mapping[str, str]] = {}

    def record(servers: str, topics: Iterable[str], *, partitions: int, replication: int, config: Mapping[str, str] | None = None) -> None:
        created.update(dict.fromkeys(topics, config or {}))

    settings = Settings(kafka="none:9092")
    with (
        patch.object(admin, "create", record),
        patch.object(admin, "broker_setting", lambda servers, name: str(BROKERS_MAXIMUM)),
        patch.object(control, "messages", lambda servers, topic: ()),
    ):
        admin.ensure(settings, plan)
        control.records(settings)
    return created


def _told(config: Mapping[str, str]) -> str:
    left = dict(config)
    said = []
    if all(left.get(name) == value for name, value in (_TIMES | {"retention.ms": "-1"}).items()):
        said.append("any time")
        left = {name: value for name, value in left.items() if name not in (*_TIMES, "retention.ms")}
    if left.get("segment.ms") == _UNBOUNDED:
        said.append("one segment")
        del left["segment.ms"]
    if left.get("max.message.bytes") == str(BROKERS_MAXIMUM + admin.HEADERS_BYTES):
        said.append("room for letters")
        del left["max.message.bytes"]
    return ", ".join([*said, *(f"`{name}={value}`" for name, value in left.items())])
