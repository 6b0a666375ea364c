"""Whose topics are asked about; transactions on the real broker: tests/e2e/test_transactions.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from infra.flink import Cluster, Job
from infra.settings import Settings
from jobs.control.held_jobs import held_jobs
from jobs.flink import topics_read

RUNNING = Job(id="a", name="features-clicks", state="RUNNING", tasks=(3, 3), restarts=0, checkpoint=None, pending=None)


class Told(Cluster):
    """A cluster of which it is known what its jobs were submitted with."""

    def __init__(self, given: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__("http://127.0.0.1:1")
        self._given = given

    def parameters(self, job_id: str) -> Mapping[str, str]:
        return self._given[job_id]


def test_kafka_is_asked_for_jobs_of_ours_that_run_and_for_no_others() -> None:
    foreign, ended = replace(RUNNING, id="b", name="theirs"), replace(RUNNING, id="c", state="CANCELED")
    assert held_jobs(Settings(kafka=None), Told({"b": {}}), [foreign, ended]) == []


@pytest.mark.slow
def test_where_kafka_does_not_tell_that_is_told(nobody: str) -> None:
    foreign = replace(RUNNING, id="b", name="theirs")
    cluster = Told({"a": topics_read.parameters(["clicks"]), "b": {}})
    (line,) = held_jobs(Settings(kafka=nobody), cluster, [RUNNING, foreign])
    assert line.startswith(f"features-clicks: which transactions are open is not known: kafka {nobody}: ")
