"""A features job of one view beside the job of its source: so a view begins without a restart of what computes the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from confluent_kafka import Consumer, KafkaException, TopicPartition

from features.compiler.declarations import did_you_mean
from features.compiler.plan import Plan, SourcePlan, ViewPlan
from infra import flink
from infra.settings import Settings
from jobs.submit import beside_name
from schemas.errors import ServiceError, SettingError

_ANSWER_S = 10.0


def consumer_group(source: SourcePlan, only: Sequence[ViewPlan] = ()) -> str:
    """Under which the job of a source commits what it has read; one beside it, of some views only, has its own."""
    return ".".join(("tidemark.features", source.name, *sorted(view.name for view in only)))


def only(plan: Plan, view: str) -> Plan:
    """The plan of one view alone.

    Raises:
        SettingError: There is no such view.
    """
    if view not in plan.views:
        near = did_you_mean(view, sorted(plan.views)) if plan.views else "there are none"
        raise SettingError(f'--only: no feature view is named "{view}"; {near}')
    found = plan.views[view]
    return replace(plan, views={view: found}, sources={found.source.name: found.source})


def running(settings: Settings) -> set[str]:
    """The names of the jobs that have not ended. Raises ServiceError when Flink does not answer."""
    return {job.name for job in flink.Cluster(settings.flink_url).jobs() if job.state not in flink.ENDED}


def without_others(plan: Plan, settings: Settings) -> Plan:
    """The plan without the views that have a job of their own running, so that none is computed twice.

    Raises:
        ServiceError: Flink does not answer.
    """
    names = running(settings)
    others = {name for name in plan.views if beside_name(name) in names}
    for name in sorted(others):
        logging.getLogger("tidemark").warning("view %s is computed by job %s, and left out here", name, beside_name(name))
    return replace(plan, views={name: view for name, view in plan.views.items() if name not in others})


def begin_where_the_other_is(settings: Settings, view: ViewPlan) -> None:
    """Let the job of one view begin with what the source's own job has not committed; what was before is history's to fill in.

    Raises:
        ServiceError: Kafka does not answer.
    """
    source = view.source
    try:
        mine, other = (_group(settings, name) for name in (consumer_group(source, [view]), consumer_group(source)))
        try:
            partitions = mine.list_topics(source.topic, timeout=_ANSWER_S).topics[source.topic].partitions
            places = [TopicPartition(source.topic, partition) for partition in partitions]
            known = mine.committed(places, timeout=_ANSWER_S)
            reached = [place for place in other.committed(places, timeout=_ANSWER_S) if place.offset >= 0]
            if reached and all(place.offset < 0 for place in known):
                mine.commit(offsets=reached, asynchronous=False)
        finally:
            mine.close()
            other.close()
    except KafkaException as fault:
        raise ServiceError(
            f"kafka {settings.kafka_servers}: does not tell how far source {source.name} is read: {fault.args[0].str()}; see `tidemark status`"
        ) from fault


def _group(settings: Settings, name: str) -> Consumer:
    return Consumer({"bootstrap.servers": settings.kafka_servers, "group.id": name, "enable.auto.commit": False, "log_level": 0})
