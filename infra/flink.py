"""A Flink cluster, embedded or not, as its REST endpoint tells of it: its jobs, how they are, what room there is; and to cancel them."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Any

from infra.flink_client import root_cause
from infra.flink_needs import Room
from infra.flink_refusal import RefusedError, refusal
from schemas.errors import ServiceError

_TROUBLED = frozenset({"FAILING", "RESTARTING"})
_SLOW_MS = 30_000  # a checkpoint waits for no more than the batch in hand: a second, under a replay some; one that has none to wait for takes tenths
ENDED = frozenset({"FINISHED", "CANCELED", "FAILED", "SUSPENDED"})

_LOST = re.compile(
    r"TaskManager .*(?:no longer reachable|timed out)|remote task manager|no more allocated slots|Could not acquire the minimum required resources"
)


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A checkpoint that has not ended.

    Attributes:
        since_ms: When it began, since the epoch.
        left: How many subtasks have not done their part, and of how many.
    """

    since_ms: int
    left: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of the cluster.

    Attributes:
        id: Flink's.
        name: As given at submission; one that runs has it alone.
        state: Flink's, e.g. RUNNING.
        tasks: How many subtasks run, and of how many.
        restarts: How often it was restored after a failure.
        checkpoint: The newest completed one, as a path or URL.
        pending: The oldest one that has begun and not ended.
    """

    id: str
    name: str
    state: str
    tasks: tuple[int, int]
    restarts: int
    checkpoint: str | None
    pending: Pending | None

    @property
    def is_troubled(self) -> bool:
        """Whether it has failed and has not been restored yet."""
        return self.state in _TROUBLED


class Cluster:
    """The REST endpoint of a Flink cluster."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        """Remember where it is, and how long an answer may take; nothing is asked yet."""
        self.url = url
        self._timeout_s = timeout_s

    def jobs(self) -> list[Job]:
        """All jobs that the cluster remembers, newest first. Raises ServiceError when it does not answer."""
        return [self._job(entry) for entry in self._overview()]

    def running(self, name: str) -> Job | None:
        """The job of this name that has not ended."""
        return next((self._job(entry) for entry in self._overview() if entry["name"] == name and entry["state"] not in ENDED), None)

    def names(self) -> set[str]:
        """Of the jobs that have not ended."""
        return {str(entry["name"]) for entry in self._overview() if entry["state"] not in ENDED}

    def job(self, job_id: str) -> Job:
        """One job. Raises ServiceError when the cluster does not know it."""
        return self._job(self._entry(job_id))

    def cancel(self, job_id: str, *, timeout_s: float = 60.0) -> None:
        """End a job and wait until it has; its newest checkpoint stays. Raises ServiceError when it does not end in time."""
        if self._entry(job_id)["state"] not in ENDED:
            self._ask(f"/jobs/{job_id}?mode=cancel", method="PATCH")
        deadline = time.monotonic() + timeout_s
        while self._entry(job_id)["state"] not in ENDED:
            if time.monotonic() > deadline:
                raise ServiceError(f"flink at {self.url}: job {job_id} has not ended within {timeout_s:g} s")
            time.sleep(0.1)

    def failure(self, job_id: str) -> str | None:
        """What a job last failed of, in one line."""
        history = self._failures(job_id)
        return root_cause(history[0]["stacktrace"].splitlines()) if history else None

    def has_lost_a_worker(self, job_id: str) -> bool:
        """Whether a job last failed because a TaskManager was lost: of nothing that it does itself, and it is restored once there is another."""
        history = self._failures(job_id)
        return bool(history) and _LOST.search(history[0]["stacktrace"]) is not None

    def troubles(self, listed: Sequence[Job]) -> list[str]:
        """What is to be told of the jobs that do not run, or were restored after a failure, a line each. Raises ServiceError when it does not answer."""
        now_ms = time.time_ns() // 1_000_000
        return [line for job in listed if (line := self.trouble(job, now_ms=now_ms)) is not None]

    def trouble(self, job: Job, *, now_ms: int) -> str | None:
        """What is to be told of a job that does not run, does not get on, or has failed meanwhile, in one line; None of one that is well."""
        pending_ms = 0 if job.pending is None or job.is_troubled else now_ms - job.pending.since_ms
        if job.state in ENDED or not (job.is_troubled or job.restarts or job.tasks[0] < job.tasks[1] or pending_ms >= _SLOW_MS):
            return None
        running, tasks = job.tasks
        since_ms = int(self._ask(f"/jobs/{job.id}")["timestamps"][job.state])
        told = [f"{job.state} since {_clock(since_ms)} ({max(0, now_ms - since_ms) // 1000} s)"]
        if running < tasks:
            told.append(f"{running} of {tasks} tasks run")
        if job.pending is not None and pending_ms >= _SLOW_MS:
            left, parts = job.pending.left
            told.append(
                f"a checkpoint has not ended after {pending_ms // 1000} s: {left} of {parts} tasks hang, wait for a service, or have much to do"
            )
        failures = self._failures(job.id)
        if job.restarts or failures:
            told.append(f"restarted {job.restarts}×")
        if failures:
            cause = root_cause(str(failures[0]["stacktrace"]).splitlines()) or str(failures[0]["exceptionName"])
            told.append(f"failed last {_clock(int(failures[0]['timestamp']))}: {cause}")
        return f"{job.name}: {', '.join(told)}"

    def parameters(self, job_id: str) -> Mapping[str, str]:
        """What a job was submitted with for others to read (Flink's global job parameters). Raises ServiceError when the cluster does not answer."""
        configuration = self._ask(f"/jobs/{job_id}/config").get("execution-config") or {}  # there is none while a job begins
        found: Mapping[str, str] = configuration.get("user-config") or {}
        return found

    def room(self) -> Room:
        """What there is for a job. Raises ServiceError when the cluster does not answer."""
        configuration = {str(entry["key"]): str(entry["value"]) for entry in self._ask("/jobmanager/config")}
        return Room.of(self._ask("/taskmanagers")["taskmanagers"], configuration, sorted(self.names()))

    def _failures(self, job_id: str) -> list[dict[str, Any]]:
        """What a job failed of last; nothing where it never did."""
        listed: list[dict[str, Any]] = self._ask(f"/jobs/{job_id}/exceptions?maxExceptions=1")["exceptionHistory"]["entries"]
        return listed

    def _entry(self, job_id: str) -> Mapping[str, Any]:
        for entry in self._overview():
            if entry["jid"] == job_id:
                return entry
        raise ServiceError(f"flink at {self.url}: no job has id {job_id}; was the JobManager started again?")

    def _overview(self) -> list[Mapping[str, Any]]:
        """What one answer tells of all jobs, newest first: the cluster remembers those that have ended, and each has more to ask for."""
        listed: list[Mapping[str, Any]] = self._ask("/jobs/overview")["jobs"]
        return sorted(listed, key=lambda entry: -int(entry["start-time"]))

    def _job(self, entry: Mapping[str, Any]) -> Job:
        metrics, checkpoints = self._ask(f"/jobs/{entry['jid']}/metrics?get=numRestarts"), self._checkpoints(entry["jid"])
        return Job(
            id=str(entry["jid"]),
            name=str(entry["name"]),
            state=str(entry["state"]),
            tasks=(int(entry["tasks"]["running"]), int(entry["tasks"]["total"])),
            restarts=int(metrics[0]["value"]) if metrics else 0,
            checkpoint=_newest(checkpoints),
            pending=_pending(checkpoints),
        )

    def _checkpoints(self, job_id: str) -> Mapping[str, Any]:
        """What Flink tells of them; nothing where it fails to: of a job whose worker was killed soon after its start it was seen to answer 500 ever after."""
        try:
            told: Mapping[str, Any] = self._ask(f"/jobs/{job_id}/checkpoints")
        except RefusedError as refused:
            if refused.code != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            return {}
        return told

    def _ask(self, path: str, *, method: str = "GET") -> Any:
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method), timeout=self._timeout_s) as answer:
                return json.load(answer)
        except (OSError, ValueError, HTTPException) as fault:
            raise refusal(self.url, path, fault) from fault


def _newest(checkpoints: Mapping[str, Any]) -> str | None:
    latest = checkpoints.get("latest") or {}
    found: str | None = (latest.get("completed") or latest.get("restored") or {}).get("external_path")
    return found


def _pending(checkpoints: Mapping[str, Any]) -> Pending | None:
    begun = [each for each in checkpoints.get("history", []) if each["status"] == "IN_PROGRESS"]
    if not begun:
        return None
    oldest = min(begun, key=lambda each: int(each["trigger_timestamp"]))
    tasks = int(oldest["num_subtasks"])
    return Pending(since_ms=int(oldest["trigger_timestamp"]), left=(tasks - int(oldest["num_acknowledged_subtasks"]), tasks))


def _clock(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%H:%M:%SZ}"
