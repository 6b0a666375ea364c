"""The embedded runtime as its users see it: `start`, `stop`, `state`, and `started` for a program that needs it only for a while.

Whether it runs is told by a file lock that its supervisor holds, never by a process id that may have been recycled.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from infra.service import marked, sweep, tail
from infra.settings import Settings
from schemas.errors import ServiceError, SettingError
from schemas.wording import cause

_STOP_S = 75.0
_POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class ServiceState:
    """One service as the supervisor last saw it.

    Attributes:
        name: As the user reads it.
        pid: Of its process.
        port: Where it is reached.
        log: The file that it writes.
        restarts: How often it was replaced.
        replaced_for: Why, the last time.
        trouble: What is wrong with it now; empty when nothing is.
        since: When that began, in seconds since the epoch.
    """

    name: str
    pid: int
    port: int
    log: str
    restarts: int
    replaced_for: str = ""
    trouble: str = ""
    since: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RuntimeState:
    """What the supervisor writes beside the endpoints."""

    mark: str
    pid: int
    started_at: float  # of the supervisor's process, seconds since the epoch as psutil tells it
    endpoints: dict[str, str] = field(default_factory=dict)
    services: tuple[ServiceState, ...] = ()

    @classmethod
    def read(cls, settings: Settings) -> Self | None:
        """The last one written in this home, or nothing."""
        try:
            values: dict[str, Any] = json.loads(state_file(settings).read_text())
            return cls(**(values | {"services": tuple(ServiceState(**service) for service in values["services"])}))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, settings: Settings) -> None:
        """Replace the one in this home."""
        write_json(state_file(settings), asdict(self))


def state_file(settings: Settings) -> Path:
    """Where the supervisor keeps its state; when it vanishes the supervisor ends."""
    return settings.home / "runtime.json"


def write_json(file: Path, content: object) -> None:
    """Replace a file in one step, so that no reader sees half of it."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(content, indent=2) + "\n")
    fresh.replace(file)


@contextlib.contextmanager
def exclusive(settings: Settings, *, patience_s: float = 2.0) -> Iterator[bool]:
    """Hold the home's lock as its supervisor; yields whether it was had. Waits a little, as readers take it for an instant."""
    with settings.runtime_lock.open("a") as lock:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield False
                    return
                time.sleep(_POLL_S)
            else:
                yield True
                return


def running(settings: Settings) -> RuntimeState | None:
    """The state of the runtime that is alive in this home and serves; nothing when none does."""
    state = RuntimeState.read(settings) if settings.runtime_is_alive else None
    # The lock may be held by one that is only just starting, beside the state that a killed one left.
    return state if state is not None and state.endpoints and _supervisor(state) is not None else None


def start(settings: Settings, *, detach: bool) -> tuple[RuntimeState, subprocess.Popen[bytes] | None]:
    """Start the runtime, or attach to the one that runs.

    Args:
        settings: Say where, and with which ports.
        detach: Whether it outlives this process; if not it ends with it, however this process ends.

    Returns:
        Its state, and the supervisor's process when this call started it.

    Raises:
        ServiceError: A service did not start, or a fixed port is taken.
        SettingError: The home cannot be written, or Java or a library is missing.
    """
    _prepare_home(settings)
    if (state := running(settings)) is not None:
        return state, None
    log = settings.home / "logs" / "supervisor.log"
    report, report_end = os.pipe()
    lifeline_end, lifeline = os.pipe()
    command = [sys.executable, "-P", "-m", "infra.supervisor", str(report_end), *([] if detach else [str(lifeline_end)])]
    with log.open("ab") as output:
        supervisor = subprocess.Popen(
            command,
            env=os.environ | settings.environment(),
            cwd=settings.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(report_end,) if detach else (report_end, lifeline_end),
        )
    os.close(report_end)
    os.close(lifeline_end)
    if detach:
        os.close(lifeline)  # else it stays open, unseen, until this process ends: that is the lifeline
    try:
        with os.fdopen(report) as stream:
            told = stream.read()
    except BaseException:
        supervisor.terminate()
        supervisor.wait()
        raise
    return _outcome(settings, told, supervisor, log)


def _outcome(
    settings: Settings, told: str, supervisor: subprocess.Popen[bytes], log: Path
) -> tuple[RuntimeState, subprocess.Popen[bytes] | None]:
    """What the supervisor reported of its start: it serves, somebody else does, or why not."""
    report = (
        json.loads(told) if told else {"error": f"the runtime's supervisor ended: {(tail(log) or ['it wrote nothing'])[-1]} (log: {log})"}
    )
    if "error" in report:
        supervisor.wait()
        raise (SettingError if report.get("setting") else ServiceError)(report["error"])
    if report.get("taken"):
        supervisor.wait()
        return _attach(settings), None
    state = RuntimeState.read(settings)
    if state is None:
        raise ServiceError(f"the runtime in {settings.home} was ended while starting")
    return state, supervisor


def _attach(settings: Settings) -> RuntimeState:
    """Wait for the runtime that another process is starting."""
    deadline = time.monotonic() + settings.start_timeout_ms / 1000
    while time.monotonic() < deadline:
        if (state := running(settings)) is not None:
            return state
        if not settings.runtime_is_alive:
            raise ServiceError(f"the runtime in {settings.home} ended while starting; its logs are in {settings.home / 'logs'}")
        time.sleep(_POLL_S)
    raise ServiceError(f"the runtime in {settings.home} is starting for too long; its logs are in {settings.home / 'logs'}")


def _prepare_home(settings: Settings) -> None:
    try:
        (settings.home / "logs").mkdir(parents=True, exist_ok=True)
        settings.runtime_lock.open("a").close()
    except OSError as fault:
        raise SettingError(f"{settings.home}: cannot be written: {cause(fault)}; set TIDEMARK_HOME to a folder you may write") from fault


def stop(settings: Settings) -> bool:
    """End the runtime of this home and every process that it started, whatever state it is in; returns whether there was any."""
    state = RuntimeState.read(settings)
    if state is None:
        return False
    supervisor = _supervisor(state)
    if supervisor is not None:
        supervisor.terminate()
        try:
            supervisor.wait(_STOP_S)
        except psutil.TimeoutExpired:
            supervisor.kill()
    left = sweep(state.mark)
    for file in (settings.endpoints_file, state_file(settings)):
        file.unlink(missing_ok=True)
    return supervisor is not None or left > 0


def _supervisor(state: RuntimeState) -> psutil.Process | None:
    """The supervisor's process, unless it has ended or its id now belongs to another."""
    try:
        process = psutil.Process(state.pid)
        alive = process.create_time() == state.started_at and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if alive else None


@contextlib.contextmanager
def started(settings: Settings) -> Iterator[RuntimeState]:
    """The running runtime; one that this call had to start is ended again at the end, or when this process dies."""
    state, own = start(settings, detach=False)
    try:
        yield state
    finally:
        if own is not None:
            stop(settings)
            own.wait()


def memory_bytes(state: RuntimeState) -> int:
    """Resident memory of all its processes, Python workers too."""
    total = 0
    for process in marked(state.mark):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total
