"""`tidemark up | down | status`: the embedded runtime on the command line."""

from __future__ import annotations

import json
import signal
from typing import Annotated

import typer

from infra import runtime
from infra.runtime import RuntimeState
from infra.settings import Settings
from jobs import store_state
from schemas.errors import ServiceError


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


def status() -> None:
    """Say what runs; exit code 3 when the runtime does not."""
    settings = Settings.load()
    state = runtime.running(settings)
    if state is None:
        raise ServiceError(_why_not(settings))
    print(json.dumps(state.endpoints, indent=2))
    _table(state)
    for line in store_state.problems(settings):
        print(f"{'online store':<18} {line}")


def _why_not(settings: Settings) -> str:
    if settings.runtime_is_alive:
        return f"the runtime in {settings.home} is starting or ending"
    if settings.endpoints_file.exists() or RuntimeState.read(settings) is not None:
        return f"the runtime in {settings.home} has ended without a goodbye; `tidemark up` cleans up and starts it again"
    return f"no runtime in {settings.home}; start it with `tidemark up`"


def _table(state: RuntimeState) -> None:
    for service in state.services:
        again = f", started again {service.restarts}×" if service.restarts else ""
        print(f"{service.name:<18} pid {service.pid}, port {service.port}{again}, log {service.log}")
    print(f"{'memory':<18} {runtime.memory_bytes(state) / (1 << 20):,.0f} MiB, Python workers included")
