"""The process that owns the embedded services: starts them, replaces one that dies or hangs, ends them in order.

Started by `infra.runtime.start` as `python -m infra.supervisor REPORT_FD [LIFELINE_FD]`: it writes one JSON line to the first when it
knows how the start went, and ends when the second is closed, which happens when the process at its other end is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

from infra import flink_cluster, kafka, valkey
from infra.reaper import guarding
from infra.runtime import RuntimeState, ServiceState, exclusive, state_file, write_json
from infra.service import LOOPBACK, MARK, Ports, Service, sweep
from infra.settings import Settings
from schemas.errors import ServiceError, SettingError, TidemarkError

_WATCH_S, _LOOK_S = 0.5, 2.0  # what has ended is seen sooner than what hangs, which costs the services an answer to find out
_ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(kw_only=True)
class Supervisor:
    """The services of one home, from start to end."""

    settings: Settings
    mark: str
    services: list[Service] = field(default_factory=list)
    endpoints: dict[str, str] = field(default_factory=dict)
    _recorded: tuple[ServiceState, ...] = field(default=(), init=False)
    _looked_at: float = field(default_factory=time.monotonic, init=False)

    def start(self, cancelled: Callable[[], bool]) -> None:
        """Start all services at once and wait until each serves.

        Raises:
            TidemarkError: One of them did not; the rest is left to `end`.
        """
        ports = Ports()
        broker = kafka.service(self.settings, ports)
        # The broker last: it may have to format its folder first, and the others come up meanwhile.
        for spec in (valkey.service(self.settings, ports), *flink_cluster.services(self.settings, ports), broker):
            service = Service(spec=spec, hang_s=self.settings.hang_timeout_ms / 1000)
            service.start()
            self.services.append(service)
        self._record()
        self._wait(cancelled)
        port = {service.spec.name: service.spec.port for service in self.services}
        self.endpoints = {
            "kafka": f"{LOOPBACK}:{port['kafka']}",
            "redis": f"redis://{LOOPBACK}:{port['valkey']}",
            "flink": f"http://{LOOPBACK}:{port['flink-jobmanager']}",
        }
        self._record()
        write_json(self.settings.endpoints_file, self.endpoints)

    def _wait(self, cancelled: Callable[[], bool]) -> None:
        waiting = list(self.services)
        deadline = time.monotonic() + self.settings.start_timeout_ms / 1000
        while waiting := [service for service in waiting if not service.check()]:
            if cancelled():
                raise ServiceError("the start was ended from outside")
            if time.monotonic() > deadline:
                limit = f"{self.settings.start_timeout_ms / 1000:g} s (TIDEMARK_START_TIMEOUT)"
                raise ServiceError(f"{waiting[0].spec.name}: not ready within {limit}: {waiting[0].last_words()}")
            time.sleep(0.1)

    def watch(self) -> None:
        """Replace what has died; kill what hangs."""
        revived = {service.spec.name for service in self.services if service.revive()}
        if "flink-jobmanager" in revived:
            for service in self.services:
                if service.spec.name.startswith("flink-taskmanager"):
                    service.excuse()  # it is heard of again when it has found the new JobManager
        if time.monotonic() - self._looked_at >= _LOOK_S:
            for service in self.services:
                service.look()
            self._looked_at = time.monotonic()
        if revived or self._seen() != self._recorded:
            self._record()

    def end(self) -> None:
        """End all services: those that write first, then where they write to; then whatever they left behind."""
        self.settings.endpoints_file.unlink(missing_ok=True)
        for of_flink in (True, False):
            ending = [service for service in self.services if service.spec.name.startswith("flink-") is of_flink]
            for service in ending:
                service.stop()
            for service in ending:
                service.wait(time.monotonic() + service.spec.grace_s)
        sweep(self.mark)
        state_file(self.settings).unlink(missing_ok=True)

    def _seen(self) -> tuple[ServiceState, ...]:
        return tuple(
            ServiceState(
                name=each.spec.name,
                pid=each.process.pid,
                port=each.spec.port,
                log=str(each.spec.log),
                restarts=each.restarts,
                replaced_for=each.replaced_for,
                trouble="" if each.trouble is None else each.trouble.what,
                since=0.0 if each.trouble is None else each.trouble.since,
            )
            for each in self.services
        )

    def _record(self) -> None:
        own, self._recorded = psutil.Process(), self._seen()
        RuntimeState(mark=self.mark, pid=own.pid, started_at=own.create_time(), endpoints=self.endpoints, services=self._recorded).write(
            self.settings
        )


def main(arguments: Sequence[str]) -> int:
    """Run the services of `$TIDEMARK_HOME` until told to end."""
    report, *lifelines = map(int, arguments)
    for descriptor in (report, *lifelines):
        os.set_inheritable(descriptor, False)
    asked: list[int] = []
    for number in _ENDINGS:
        signal.signal(number, lambda received, _: asked.append(received))

    def told_to_end(wait_s: float) -> bool:
        readable, _, _ = select.select(lifelines, [], [], wait_s)
        return bool(asked or readable)

    settings = Settings.load()
    with exclusive(settings) as ours:
        if not ours:
            _tell(report, {"taken": True})
            return 0
        settings.endpoints_file.unlink(missing_ok=True)
        if (last := RuntimeState.read(settings)) is not None:
            sweep(last.mark)  # of a supervisor that was killed
        mark = uuid.uuid4().hex
        with guarding(mark):
            os.environ[MARK] = mark
            return _run(Supervisor(settings=settings, mark=mark), report, told_to_end)


def _run(supervisor: Supervisor, report: int, told_to_end: Callable[[float], bool]) -> int:
    try:
        supervisor.start(lambda: told_to_end(0.0))
    except (TidemarkError, OSError) as error:
        supervisor.end()
        _tell(report, {"error": str(error), "setting": isinstance(error, SettingError)})
        return 1
    _tell(report, {"ready": True})
    while not told_to_end(_WATCH_S) and state_file(supervisor.settings).exists():
        supervisor.watch()
    supervisor.end()
    return 0


def _tell(report: int, content: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(report, "w") as stream:
        json.dump(content, stream)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
