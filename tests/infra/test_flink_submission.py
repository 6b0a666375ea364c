"""A job gets to run, though a TaskManager is lost ahead of it or meanwhile; what does not fit or fails by itself is ended and told."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.flink import Cluster, Job
from infra.flink_needs import Needs, Room
from infra.flink_submission import newest_checkpoint, wait_for_room, wait_until_it_runs
from infra.settings import Settings
from schemas.errors import ServiceError
from tests.infra.rooms import taskmanager

LOST = "java.util.concurrent.TimeoutException: Heartbeat of TaskManager flink-taskmanager timed out\n\tat org.apache.flink.Any.call(Any.java:1)"
GONE_AGAIN = (
    "org.apache.flink.runtime.jobmaster.JobMasterException: TaskManager with id flink-taskmanager is no longer reachable.\n\tat org.apache.flink.A.b(A.java:1)",
    "org.apache.flink.runtime.JobException: Recovery is suppressed\nCaused by: org.apache.flink.runtime.jobmanager.scheduler."
    "NoResourceAvailableException: Could not acquire the minimum required resources.",
    "org.apache.flink.runtime.io.network.netty.exception.RemoteTransportException: Connection unexpectedly closed by remote task manager "
    "'localhost/127.0.0.1:34567 [ flink-taskmanager ] '. This might indicate that the remote task manager was lost.",
    LOST,
)
OWN = "java.lang.RuntimeException: Failed to create stage bundle factory! NameError: name 'flink' is not defined"


class Starting(Cluster):
    """Of one job, whose state, running tasks, restarts and last failure are these in turn."""

    def __init__(self, seen: Iterable[tuple[str, int, int, str]]) -> None:
        super().__init__("http://flink")
        self.cancelled = False
        self._seen = iter(seen)
        self._trace = ""

    def job(self, job_id: str) -> Job:
        state, running, restarts, self._trace = next(self._seen)
        return Job(id=job_id, name="features", state=state, tasks=(running, 3), restarts=restarts, checkpoint=None, pending=None)

    def cancel(self, job_id: str, *, timeout_s: float = 60.0) -> None:
        self.cancelled = True

    def _failures(self, job_id: str) -> list[dict[str, Any]]:
        return [{"stacktrace": self._trace}] if self._trace else []


@pytest.mark.parametrize("lost", GONE_AGAIN)
def test_a_job_whose_taskmanager_is_lost_at_its_start_is_waited_for(lost: str) -> None:
    cluster = Starting([("RUNNING", 1, 0, ""), ("RESTARTING", 0, 1, lost), ("RUNNING", 2, 4, lost), ("RUNNING", 3, 4, lost)])
    wait_until_it_runs(cluster, "a", "features", Settings())
    assert not cluster.cancelled


@pytest.mark.parametrize("before", [[], [("RESTARTING", 0, 1, LOST)]])
def test_a_job_that_fails_at_its_start_by_itself_is_ended_and_told(before: list[tuple[str, int, int, str]]) -> None:
    cluster = Starting([*before, ("RESTARTING", 0, 2, OWN)])
    with pytest.raises(
        ServiceError, match=r"^job features: failed at its start and was cancelled: .*Failed to create stage bundle factory! "
    ):
        wait_until_it_runs(cluster, "a", "features", Settings())
    assert cluster.cancelled


@pytest.mark.parametrize(("trace", "told"), [(LOST, "it failed last of: .* timed out"), ("", r"are there enough free slots\?")])
def test_a_job_that_does_not_get_to_run_is_ended_and_told_why(trace: str, told: str) -> None:
    cluster = Starting(itertools.repeat(("RESTARTING", 0, int(bool(trace)), trace)))
    with pytest.raises(ServiceError, match=rf"^job features: only 0 of 3 tasks ran within 0\.3 s .*; it was cancelled; {told}$"):
        wait_until_it_runs(cluster, "a", "features", Settings(start_timeout_ms=300))
    assert cluster.cancelled


def test_the_newest_checkpoint_is_found_while_older_ones_are_removed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert newest_checkpoint(settings, "features") is None
    for number, folder in enumerate(("b/chk-9", "a/chk-10", "a/chk-11")):
        file = tmp_path / "checkpoints" / "features" / folder / "_metadata"
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (number, number))
    gone = tmp_path / "checkpoints" / "features" / "b" / "chk-8"
    gone.mkdir()
    (gone / "_metadata").symlink_to(gone / "nothing")  # listed, and no longer there when it is looked at
    assert newest_checkpoint(settings, "features") == (tmp_path / "checkpoints/features/a/chk-11").as_uri()


ROOMY, GONE = [taskmanager(slots=12, free=12, managed_mb=3072)], list[dict[str, Any]]()


@pytest.mark.parametrize(
    ("slots", "answers", "options", "told"),
    [
        (12, [GONE, GONE, ROOMY], {}, None),
        (13, [ROOMY, ROOMY * 2], {"flink_taskmanagers": 2}, None),
        (13, [ROOMY], {}, "it needs 13 slots, 12 of 12 are free"),  # nothing is missing: it is told at once
        (12, itertools.repeat(GONE), {"start_timeout_ms": 300}, "the cluster has no TaskManager"),
    ],
    ids=["the only one is lost", "one of two is lost", "none is lost", "lost for good"],
)
@pytest.mark.parametrize("embedded", [True, False])
def test_a_job_waits_for_a_taskmanager_that_is_being_replaced(
    monkeypatch: pytest.MonkeyPatch,
    slots: int,
    answers: Iterable[list[dict[str, Any]]],
    options: dict[str, Any],
    told: str | None,
    embedded: bool,
) -> None:
    there = iter(answers)  # a question too many has no answer
    monkeypatch.setattr(Cluster, "room", lambda _: Room.of(next(there), {}, []))
    settings = replace(Settings(**options), flink=None if embedded else "http://flink")
    monkeypatch.setattr(Settings, "flink_url", "http://flink")
    if not embedded and "flink_taskmanagers" in options:
        told = "it needs 13 slots, 12 of 12 are free"  # of a cluster that is not ours nobody knows that one is missing
    with contextlib.nullcontext() if told is None else pytest.raises(ServiceError, match=told):
        wait_for_room(Needs(slots=slots), settings)
