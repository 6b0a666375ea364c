"""How a job gets to run on a Flink cluster, embedded or not: there is room for it, Flink's client submits it, and all its tasks run.

A TaskManager that is lost meanwhile is waited for: one that was lost is soon replaced.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Sequence
from pathlib import Path

from infra import flink_client
from infra.flink import ENDED, Cluster
from infra.flink_needs import Needs, expected_taskmanagers, misfit
from infra.settings import Settings
from schemas.errors import ServiceError, SettingError, TidemarkError

_POLL_S = 0.2
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_SUBMITTED = re.compile(r"Job has been submitted with JobID ([0-9a-f]{32})")


def submit(module: str, arguments: Sequence[str], *, name: str, settings: Settings, fresh: bool = False) -> str:
    """Run a job's `main` on the cluster and wait until all its tasks run.

    It resumes from the newest completed checkpoint of the same name.

    Args:
        module: E.g. `jobs.features`; its `main` executes one Flink job without waiting for its end.
        arguments: For that `main`.
        name: Of the job; only one job of a name runs at a time.
        settings: Say where the cluster is, and go to the job as its environment.
        fresh: Start without state.

    Returns:
        The job's id.

    Raises:
        ServiceError: The cluster does not answer, a job of this name runs, or the job did not get to run.
        SettingError: The name is not one.
    """
    if not _NAME.fullmatch(name):
        raise SettingError(f"job name {name!r}: expected letters, digits, dots, dashes and underscores")
    cluster = Cluster(settings.flink_url)
    if (other := cluster.running(name)) is not None:
        raise ServiceError(
            f"job {name} is {other.state.lower()} already (id {other.id}); end it with `tidemark cancel {name}`, or give another --name"
        )
    try:
        wait_for_room(Needs(slots=settings.parallelism), settings)  # what it needs besides, its driver knows
    except ServiceError as fault:
        raise ServiceError(f"job {name}: not submitted: {fault}") from fault
    checkpoint = None if fresh else newest_checkpoint(settings, name)
    log = settings.home / "logs" / f"submit-{name}.log"
    try:
        command = flink_client.command(module, arguments, name, checkpoint, settings)
        output = flink_client.run(command, name=name, log=log, settings=settings)
    except TidemarkError:
        if (stray := cluster.running(name)) is not None:  # what could not be answered in time may have got there all the same
            cluster.cancel(stray.id)
        raise
    submitted = _SUBMITTED.search(output)
    if submitted is None:
        raise ServiceError(f"job {name}: nothing was submitted: {(output.splitlines() or ['no output'])[-1]} (log: {log})")
    wait_until_it_runs(cluster, submitted[1], name, settings)
    return submitted[1]


def wait_for_room(needs: Needs, settings: Settings) -> None:
    """Wait until the cluster has room for a job, as long as it lacks a TaskManager: one that was lost is soon replaced.

    Raises:
        ServiceError: There is no room, also not with the TaskManager or not within the start's timeout; says what would do.
    """
    cluster = Cluster(settings.flink_url)
    deadline = time.monotonic() + settings.start_timeout_ms / 1000
    while fault := misfit(needs, room := cluster.room(), settings):
        if room.taskmanagers >= expected_taskmanagers(settings) or time.monotonic() > deadline:
            raise ServiceError(fault)
        time.sleep(_POLL_S)


def newest_checkpoint(settings: Settings, name: str) -> str | None:
    """URL of the newest completed checkpoint that jobs of this name left in the home."""
    completed = list[tuple[int, Path]]()
    for file in (settings.home / "checkpoints" / name).glob("*/chk-*/_metadata"):
        with contextlib.suppress(FileNotFoundError):  # older ones are still removed when their job has just ended
            completed.append((file.stat().st_mtime_ns, file))
    return max(completed)[1].parent.as_uri() if completed else None


def wait_until_it_runs(cluster: Cluster, job_id: str, name: str, settings: Settings) -> None:
    """Wait until all tasks of a job run, also where a TaskManager is lost meanwhile and replaced.

    Raises:
        ServiceError: It failed, or did not get to run within the start's timeout, and was cancelled.
    """
    deadline = time.monotonic() + settings.start_timeout_ms / 1000
    while True:
        job = cluster.job(job_id)
        running, tasks = job.tasks
        if job.state == "FINISHED" or (job.state == "RUNNING" and running == tasks > 0):
            return
        if job.state in ENDED or (job.restarts > 0 and not cluster.has_lost_a_worker(job_id)):
            cause = cluster.failure(job_id) or f"it is {job.state}"
            cluster.cancel(job_id)
            raise ServiceError(f"job {name}: failed at its start and was cancelled: {cause} ({cluster.url}/#/job/{job_id}/exceptions)")
        if time.monotonic() > deadline:
            last = cluster.failure(job_id)
            cluster.cancel(job_id)
            limit = f"{settings.start_timeout_ms / 1000:g} s (TIDEMARK_START_TIMEOUT)"
            told = "are there enough free slots?" if last is None else f"it failed last of: {last}"
            raise ServiceError(f"job {name}: only {running} of {tasks} tasks ran within {limit}; it was cancelled; {told}")
        time.sleep(_POLL_S)
