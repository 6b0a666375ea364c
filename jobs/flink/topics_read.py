"""Which topics a job reads, as it says itself: beside its graph, so that whoever sees the job on the cluster is told, under whatever name it runs."""

from __future__ import annotations

from collections.abc import Iterable

from infra.flink import Cluster

_READS = "tidemark.reads"


def parameters(topics: Iterable[str]) -> dict[str, str]:
    """What a job that reads these topics is submitted with."""
    return {_READS: ",".join(sorted(topics))}


def topics_read(cluster: Cluster, job_id: str) -> frozenset[str]:
    """The topics that a job reads; none where it is not one of ours. Raises ServiceError when the cluster does not answer."""
    return frozenset(filter(None, cluster.parameters(job_id).get(_READS, "").split(",")))
