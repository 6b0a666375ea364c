"""A Flink cluster, embedded or not, as a place to run jobs: submit with resume, list, cancel."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra import flink_cluster, log4j
from infra.flink_refusal import RefusedError, refusal
from infra.java import QUICK, java_home, temporary
from infra.service import tail
from infra.settings import Settings
from schemas.errors import DataError, DefinitionError, ServiceError, SettingError, TidemarkError
from schemas.wording import sentence

ENDED = frozenset({"FINISHED", "CANCELED", "FAILED", "SUSPENDED"})

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_SUBMITTED = re.compile(r"Job has been submitted with JobID ([0-9a-f]{32})")
_CAUSE = re.compile(r"^(?:Caused by: )?((?:\w+\.)*\w*(?:Error|Exception)\b.*)$")
_DRIVER_ENDED = re.compile(r"Python process exits with code: (\d+)")
_DRIVER_ERRORS: dict[str, type[TidemarkError]] = {str(error.exit_code): error for error in (DefinitionError, SettingError, DataError)}
_WRAPPER = re.compile(r"Python process exits with code|ProgramAbortException")
_JVM = ("-Xmx640m", "-Xss4m", "-XX:+UseSerialGC", *QUICK)
_DRIVER = """\
# Written by `tidemark submit`; a script of its own, so that the folder jobs/ is not ahead of the package `features` on the path.
import sys

from jobs.driver import run

sys.exit(run({module!r}, sys.argv[1:]))
"""


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
    """

    id: str
    name: str
    state: str
    tasks: tuple[int, int]
    restarts: int
    checkpoint: str | None


class Cluster:
    """The REST endpoint of a Flink cluster."""

    def __init__(self, url: str) -> None:
        """Remember where it is; nothing is asked yet."""
        self.url = url

    def jobs(self) -> list[Job]:
        """All jobs that the cluster remembers, newest first. Raises ServiceError when it does not answer."""
        listed = self._ask("/jobs/overview")["jobs"]
        return [self._job(entry) for entry in sorted(listed, key=lambda entry: -int(entry["start-time"]))]

    def running(self, name: str) -> Job | None:
        """The job of this name that has not ended."""
        return next((job for job in self.jobs() if job.name == name and job.state not in ENDED), None)

    def job(self, job_id: str) -> Job:
        """One job. Raises ServiceError when the cluster does not know it."""
        for job in self.jobs():
            if job.id == job_id:
                return job
        raise ServiceError(f"flink at {self.url}: no job has id {job_id}; was the JobManager started again?")

    def cancel(self, job_id: str, *, timeout_s: float = 60.0) -> None:
        """End a job and wait until it has; its newest checkpoint stays. Raises ServiceError when it does not end in time."""
        if self.job(job_id).state not in ENDED:
            self._ask(f"/jobs/{job_id}?mode=cancel", method="PATCH")
        deadline = time.monotonic() + timeout_s
        while self.job(job_id).state not in ENDED:
            if time.monotonic() > deadline:
                raise ServiceError(f"flink at {self.url}: job {job_id} has not ended within {timeout_s:g} s")
            time.sleep(0.1)

    def failure(self, job_id: str) -> str | None:
        """What a job last failed of, in one line."""
        history = self._ask(f"/jobs/{job_id}/exceptions?maxExceptions=1")["exceptionHistory"]["entries"]
        return _root_cause(history[0]["stacktrace"].splitlines()) if history else None

    def _job(self, entry: Mapping[str, Any]) -> Job:
        metrics = self._ask(f"/jobs/{entry['jid']}/metrics?get=numRestarts")
        return Job(
            id=str(entry["jid"]),
            name=str(entry["name"]),
            state=str(entry["state"]),
            tasks=(int(entry["tasks"]["running"]), int(entry["tasks"]["total"])),
            restarts=int(metrics[0]["value"]) if metrics else 0,
            checkpoint=self._checkpoint(entry["jid"]),
        )

    def _checkpoint(self, job_id: str) -> str | None:
        """The newest one; None also where Flink fails to tell: of a job whose worker was killed soon after its start it was seen to answer 500 ever after."""
        try:
            latest = self._ask(f"/jobs/{job_id}/checkpoints").get("latest") or {}
        except RefusedError as refused:
            if refused.code != HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            return None
        found: str | None = (latest.get("completed") or latest.get("restored") or {}).get("external_path")
        return found

    def _ask(self, path: str, *, method: str = "GET") -> Any:
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method), timeout=10) as answer:
                return json.load(answer)
        except (OSError, ValueError, HTTPException) as fault:
            raise refusal(self.url, path, fault) from fault


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
    checkpoint = None if fresh else newest_checkpoint(settings, name)
    log = settings.home / "logs" / f"submit-{name}.log"
    output = _run_client(_client_command(module, arguments, name, checkpoint, settings), name=name, log=log, settings=settings)
    submitted = _SUBMITTED.search(output)
    if submitted is None:
        raise ServiceError(f"job {name}: nothing was submitted: {(output.splitlines() or ['no output'])[-1]} (log: {log})")
    _wait_until_it_runs(cluster, submitted[1], name, settings, resumed=checkpoint is not None)
    return submitted[1]


def newest_checkpoint(settings: Settings, name: str) -> str | None:
    """URL of the newest completed checkpoint that jobs of this name left in the home."""
    completed = (settings.home / "checkpoints" / name).glob("*/chk-*/_metadata")
    newest = max(completed, key=lambda file: (file.stat().st_mtime_ns, str(file)), default=None)
    return None if newest is None else newest.parent.as_uri()


def _client_command(module: str, arguments: Sequence[str], name: str, checkpoint: str | None, settings: Settings) -> Sequence[str]:
    """Flink's own client, without its shell scripts; what it is told is in a configuration folder of this submission."""
    folder = _client_folder(settings, name)
    shutil.rmtree(folder / "tmp", ignore_errors=True)  # what an earlier client left: it is killed when its job runs
    folder.mkdir(parents=True, exist_ok=True)
    driver = folder / "driver.py"
    driver.write_text(_DRIVER.format(module=module))
    config = _client_configuration(name, checkpoint, settings)
    (folder / "config.yaml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items()))
    java = f"{java_home()}/bin/java"
    logging = log4j.options(folder, log=settings.home / "logs" / f"submit-{name}.client.log")
    client = ("-cp", flink_cluster.classpath(settings), "org.apache.flink.client.cli.CliFrontend")
    jvm = (java, *_JVM, *temporary(folder / "tmp"), *flink_cluster.JVM_ACCESS, *logging)
    return (*jvm, *client, "run", "--detached", "--python", str(driver), *arguments)


def _client_folder(settings: Settings, name: str) -> Path:
    return settings.home / "flink" / "submit" / name


def _client_configuration(name: str, checkpoint: str | None, settings: Settings) -> dict[str, str | int | bool]:
    address = urlsplit(settings.flink_url)
    resume = {} if checkpoint is None else {"execution.state-recovery.path": checkpoint, "execution.state-recovery.claim-mode": "CLAIM"}
    return {
        "execution.target": "remote",
        "rest.address": address.hostname or "",
        "rest.port": address.port or (443 if address.scheme == "https" else 80),
        "security.ssl.rest.enabled": address.scheme == "https",
        # The job manager's own address is not asked, but has to be there.
        "jobmanager.rpc.address": address.hostname or "",
        **flink_cluster.NO_LOGIN,
        "pipeline.name": name,
        "parallelism.default": settings.parallelism,
        "execution.checkpointing.dir": (settings.home / "checkpoints" / name).as_uri(),
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_ms}ms",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "python.client.executable": sys.executable,
        "python.executable": settings.python or sys.executable,
        "python.fn-execution.bundle.time": settings.bundle_time_ms,
        "python.fn-execution.bundle.size": settings.bundle_size,
        "python.fn-execution.arrow.batch.size": settings.bundle_size,
        **resume,
    }


def _run_client(command: Sequence[str], *, name: str, log: Path, settings: Settings) -> str:
    """Run it in a process group of its own, which is ended with all that it started, Python driver and all; returns what it wrote."""
    folder = _client_folder(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        client = subprocess.Popen(
            command,
            env=flink_cluster.environment(folder, folder / "tmp") | settings.environment(),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        code = client.wait(settings.start_timeout_ms / 1000)
    except subprocess.TimeoutExpired:
        limit = f"{settings.start_timeout_ms / 1000:g} s (TIDEMARK_START_TIMEOUT)"
        raise ServiceError(
            f"job {name}: its driver did not submit it within {limit}: {(tail(log) or ['it wrote nothing'])[-1]} (log: {log})"
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(client.pid, signal.SIGKILL)
        client.wait()
    if code:
        lines = tail(log)
        ended = next((match for line in reversed(lines) if (match := _DRIVER_ENDED.search(line))), None)
        error = _DRIVER_ERRORS.get(ended[1] if ended else "", ServiceError)
        raise error(f"job {name}: not submitted: {_root_cause(lines) or f'exit code {code}'} (log: {log})")
    return log.read_text(errors="replace")


def _wait_until_it_runs(cluster: Cluster, job_id: str, name: str, settings: Settings, *, resumed: bool) -> None:
    deadline = time.monotonic() + settings.start_timeout_ms / 1000
    advice = "; if the job's definitions have changed since its checkpoint, submit with --fresh" if resumed else ""
    while True:
        job = cluster.job(job_id)
        running, tasks = job.tasks
        if job.state == "FINISHED" or (job.state == "RUNNING" and running == tasks > 0):
            return
        if job.state in ENDED or job.restarts > 0:
            cause = cluster.failure(job_id) or f"it is {job.state}"
            cluster.cancel(job_id)
            raise ServiceError(
                f"job {name}: failed at its start and was cancelled: {cause}{advice} ({cluster.url}/#/job/{job_id}/exceptions)"
            )
        if time.monotonic() > deadline:
            cluster.cancel(job_id)
            limit = f"{settings.start_timeout_ms / 1000:g} s (TIDEMARK_START_TIMEOUT)"
            raise ServiceError(
                f"job {name}: only {running} of {tasks} tasks ran within {limit}; it was cancelled; are there enough free slots?"
            )
        time.sleep(0.2)


def _root_cause(lines: Sequence[str]) -> str | None:
    """The line of a log or stack trace that a person would look for: our own clear line, else the innermost exception."""
    for line in reversed(lines):
        if line.startswith("tidemark: "):
            return line.removeprefix("tidemark: ")
    causes = [match[1] for line in lines if (match := _CAUSE.match(line.strip())) and not _WRAPPER.search(line)]
    return sentence(causes[-1]) if causes else None
