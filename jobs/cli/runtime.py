"""`tidemark up | down | status`: the embedded runtime on the command line."""

from __future__ import annotations

import json
import signal
import time
from typing import Annotated

import typer

from infra import runtime
from infra.flink import Cluster
from infra.runtime import RuntimeState
from infra.settings import Settings
from jobs.control import store_state
from jobs.control.held_jobs import held_jobs
from schemas.errors import ServiceError

COMMANDS = {
    "up": "Start the embedded runtime, or attach to it",
    "down": "End the embedded runtime; its data stays",
    "status": "Say what runs",
}
NEEDS = {"up": ("flink", "embedded")}

_ANSWER_S = 5.0


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when it serves; it runs until `tidemark down`.")] = False,
) -> None:
    """Start Kafka, Valkey and Flink on this machine, or attach to those that run; prints the endpoints."""
    settings = Settings.load()
    state, supervisor = runtime.start(settings, detach=detach)
    print(json.dumps(state.endpoints, indent=2), flush=True)
    if supervisor is None or detach:
        return
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        code = supervisor.wait()
    except KeyboardInterrupt:
        runtime.stop(settings)
        return
    if code:
        raise ServiceError(f"the runtime ended by itself with exit code {code}; its logs are in {settings.home / 'logs'}")


def down() -> None:
    """End the embedded runtime with every process that it started; its data stays."""
    print("ended" if runtime.stop(Settings.load()) else "nothing to end")


def status() -> int:
    """Say what runs, and what does not: exit code 3 when the runtime, one of its services or a job that has failed does not.

    And which jobs do not get on: a checkpoint has not ended after half a minute, or they wait for a Kafka transaction that has been open for as long; they run,
    so that alone is no failure.
    """
    settings = Settings.load()
    state = runtime.running(settings)
    if state is None:
        raise ServiceError(_why_not(settings))
    print(json.dumps(state.endpoints, indent=2))
    _table(state)
    lacks = store_state.problems(settings)
    for line in lacks:
        print(f"online store: {line}")
    hangs = any(service.trouble for service in state.services)
    return ServiceError.exit_code if _jobs(settings, state) or hangs or lacks else 0


def _jobs(settings: Settings, state: RuntimeState) -> bool:
    """Tell the jobs of the embedded cluster that have failed, or wait for a transaction; returns whether one is not restored yet, or nobody tells."""
    jobmanager = next((service for service in state.services if service.name == "flink-jobmanager"), None)
    if jobmanager is None or jobmanager.trouble:
        return True  # told above
    cluster = Cluster(state.endpoints["flink"], timeout_s=_ANSWER_S)
    try:
        listed = cluster.jobs()
        for line in [*cluster.troubles(listed), *held_jobs(settings, cluster, listed)]:
            print(f"job {line}")
    except ServiceError as silent:
        print(silent)
        return True
    if jobmanager.restarts and not listed:
        print("jobs: none; those that ran before the JobManager was started again are gone, and `tidemark submit` resumes them")
        return True
    return any(job.is_troubled for job in listed)


def _why_not(settings: Settings) -> str:
    if settings.runtime_is_alive:
        return f"the runtime in {settings.home} is starting or ending"
    if settings.endpoints_file.exists() or RuntimeState.read(settings) is not None:
        return f"the runtime in {settings.home} has ended without a goodbye; `tidemark up` cleans up and starts it again"
    return f"no runtime in {settings.home}; start it with `tidemark up`"


def _table(state: RuntimeState) -> None:
    for service in state.services:
        again = f", started again {service.restarts}× (last: {service.replaced_for})" if service.restarts else ""
        print(f"{service.name:<18} pid {service.pid}, port {service.port}{again}, log {service.log}")
        if service.trouble:
            print(f"{service.name}: {service.trouble}, since {max(0.0, time.time() - service.since):.0f} s")
    print(f"{'memory':<18} {runtime.memory_bytes(state) / (1 << 20):,.0f} MiB, Python workers included")
