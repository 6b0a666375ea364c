"""Which jobs wait for a Kafka transaction that stays open."""

from __future__ import annotations

import time
from collections.abc import Sequence

from infra.flink import ENDED, Cluster, Job
from infra.settings import Settings
from jobs.flink.topics_read import topics_read
from jobs.kafka import open_transactions
from jobs.kafka.connection import Connection
from schemas.errors import ServiceError


def held_jobs(settings: Settings, cluster: Cluster, listed: Sequence[Job]) -> list[str]:
    """Jobs, and the transaction that they wait for, a line each; where Kafka does not tell, that. Raises ServiceError when the cluster does not answer."""
    reads = {job.name: topics_read(cluster, job.id) for job in listed if job.state not in ENDED}
    topics = frozenset().union(*reads.values())
    if not topics:
        return []
    try:
        kafka = Connection.of(settings)
        found = open_transactions.lasting(kafka, topics)
        longest_ms = open_transactions.longest_ms(kafka) if found else None
    except ServiceError as silent:
        return [f"{', '.join(sorted(name for name in reads if reads[name]))}: which transactions are open is not known: {silent}"]
    now_ms = time.time_ns() // 1_000_000
    return [
        f"{', '.join(sorted(name for name in reads if one.place[0] in reads[name]))}: "
        f"{one.told(servers=kafka.servers, longest_ms=longest_ms, now_ms=now_ms)}"
        for one in found
    ]
