"""The demo's own state in the home: found, and forgotten, so that every run starts from nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Set

from features.plan import FRONTIER_TOPIC, Plan, ServicePlan
from inference.online.connection import connect
from infra import flink
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from schemas.errors import ServiceError, SettingError

_ANSWER_S = 15.0
FEATURES, MATERIALIZE = "features", "materialize"


def score_job(service: ServicePlan) -> str:
    """The name of the job that scores a service."""
    return f"score-{service.name}"


def topics_of(plan: Plan) -> frozenset[str]:
    """Every topic that running these definitions makes."""
    sources = [topic for source in plan.sources.values() for topic in (source.topic, source.dead_letter_topic, source.late_topic)]
    read = [FRONTIER_TOPIC, *(view.tiles_topic for view in plan.views.values())]
    answers = [service.predictions_topic for service in plan.services.values()]
    return frozenset([*sources, *read, *(f"{topic}.dlq" for topic in read), *answers])


def forget(plan: Plan, settings: Settings) -> None:
    """Cancel the jobs of an earlier run and drop its topics, online store, checkpoints and archive; the runtime must run.

    Raises:
        SettingError: The home holds something else, which is not the demo's to drop.
        ServiceError: A service does not answer.
    """
    jobs = {FEATURES, MATERIALIZE, *map(score_job, plan.services.values())}
    cluster = flink.Cluster(settings.flink_url)
    running = [job for job in cluster.jobs() if job.state not in flink.ENDED]
    kafka = Connection.of(settings)
    there = admin.topics(kafka)
    others = sorted((there - topics_of(plan)) | ({job.name for job in running} - jobs))
    if others:
        raise SettingError(
            f"demo: {settings.home} holds work of yours ({', '.join(others)}); give the demo a home of its own: TIDEMARK_HOME=.tidemark-demo tidemark demo"
        )
    for job in running:
        cluster.cancel(job.id)
    if there:
        _delete(kafka, there)
    connect(settings.redis_url).clear()
    for job_name in jobs:
        shutil.rmtree(settings.home / "checkpoints" / job_name, ignore_errors=True)
    for source in plan.sources:
        shutil.rmtree(settings.home / "archive" / source, ignore_errors=True)


def _delete(kafka: Connection, topics: Set[str]) -> None:
    admin.delete(kafka, topics)
    deadline = time.monotonic() + _ANSWER_S
    while admin.topics(kafka) & topics:
        if time.monotonic() > deadline:
            raise ServiceError(f"kafka {kafka.servers}: topics of an earlier demo are still there after {_ANSWER_S:.0f} s")
        time.sleep(0.1)
