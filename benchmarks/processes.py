"""A command run to its end as a process of its own: how long it took, how much of the cores, and the most memory that it and its children held."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.benchmark import CORES, Figures

_POLL_S = 0.1


class CommandError(Exception):
    """A command failed, took too long or too much memory."""


def measured(
    command: Sequence[str | Path],
    log: Path,
    *,
    environ: Mapping[str, str] | None = None,
    most_seconds: float = 900,
    most_bytes: int = 12 * 2**30,
) -> Figures:
    """Run a command on `CORES` cores.

    Args:
        command: Program and arguments.
        log: Where its output goes.
        environ: Set besides the environment of this process.
        most_seconds: It is ended after this time.
        most_bytes: It is ended when it holds more.

    Returns:
        `seconds` from start to end; `cpu_seconds` that it and all its descendants have computed, which says more than `seconds` where others use the
        machine; `peak_bytes`: the largest sum of their resident memory. Seen ten times a second; pages that several share count for each.

    Raises:
        CommandError: It did not end well within the bounds.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as output:
        process = psutil.Popen(
            [str(part) for part in command],
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=bind,
        )
    family, excess = Family(process), ""
    try:
        while process.poll() is None and not excess:
            family.look()
            if family.peak_bytes > most_bytes:
                excess = f"needed more than {most_bytes / 2**30:.1f} GiB"
            elif time.monotonic() - started > most_seconds:
                excess = f"took longer than {most_seconds:.0f} s"
            time.sleep(_POLL_S)
        seconds = time.monotonic() - started
    finally:
        family.end()
    if excess or process.returncode:
        raise CommandError(f"{Path(str(command[0])).name} {excess or f'ended with exit code {process.returncode}'}; log: {log}")
    return {"seconds": seconds, "cpu_seconds": family.computed_seconds, "peak_bytes": float(family.peak_bytes)}


def bind() -> None:
    """This process, and what it starts, to the first cores that the machine lets us have; where it has no such call, to all."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


class Family:
    """A process and its descendants."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.peak_bytes = 0
        self._cpu_seconds: dict[psutil.Process, float] = {}

    def look(self) -> None:
        """Note what they hold and what they have computed."""
        resident = 0
        for each in self._members():
            with contextlib.suppress(psutil.Error), each.oneshot():
                resident += each.memory_info().rss
                used = each.cpu_times()
                self._cpu_seconds[each] = used.user + used.system
        self.peak_bytes = max(self.peak_bytes, resident)

    @property
    def computed_seconds(self) -> float:
        """Of all of them so far, the ended ones too."""
        return sum(self._cpu_seconds.values())

    def end(self) -> None:
        """End them, by id, where the first of them still runs."""
        if self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            for each in self._members():
                with contextlib.suppress(psutil.Error):
                    each.kill()
            self._process.wait()

    def _members(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return [psutil.Process(self._process.pid), *self._process.children(recursive=True)]
        return []


class Threads:
    """The threads of a process, without those that a Java runtime has for its compilers and its memory."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before: dict[int, float] = {}
        self._computed: dict[int, float] = {}

    def begin(self) -> None:
        """What they have computed until now does not count."""
        self.look()
        self._before = dict(self._computed)

    def look(self) -> None:
        """Note what they have computed."""
        with contextlib.suppress(psutil.Error):
            self._computed |= {each.id: each.user_time + each.system_time for each in self._process.threads() if not self._of_java(each.id)}

    @property
    def busiest_seconds(self) -> float:
        """What the one that has computed most has since then: with more cores, the work cannot take less time."""
        return max((seconds - self._before.get(id, 0.0) for id, seconds in self._computed.items()), default=0.0)

    def _of_java(self, id: int) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self._process.pid}/task/{id}/comm").read_text().startswith(("C1 ", "C2 ", "GC ", "G1 ", "VM "))
        return False
