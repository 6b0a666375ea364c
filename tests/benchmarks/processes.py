"""A command run to its end as a process of its own: how long it took, and the most memory that it and its children held at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.benchmarks.benchmark import CORES, Figures

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
        `seconds` from start to end, and `peak_bytes`: the largest sum of the resident memory of it and all its descendants, seen ten times a second.
        Pages that several processes share count for each.

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
            preexec_fn=_bind,
        )
    peak, excess = 0, ""
    try:
        while process.poll() is None and not excess:
            peak = max(peak, _resident(process))
            if peak > most_bytes:
                excess = f"needed more than {most_bytes / 2**30:.1f} GiB"
            elif time.monotonic() - started > most_seconds:
                excess = f"took longer than {most_seconds:.0f} s"
            time.sleep(_POLL_S)
        seconds = time.monotonic() - started
    finally:
        _end(process)
    if excess or process.returncode:
        raise CommandError(f"{Path(str(command[0])).name} {excess or f'ended with exit code {process.returncode}'}; log: {log}")
    return {"seconds": seconds, "peak_bytes": float(peak)}


def _bind() -> None:
    """The first cores that the machine lets us have; where it has no such call, all."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def _family(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []


def _resident(process: psutil.Process) -> int:
    total = 0
    for each in _family(process):
        with contextlib.suppress(psutil.Error):
            total += each.memory_info().rss
    return total


def _end(process: psutil.Popen) -> None:
    """It and its children, by id, where they are still there."""
    if process.poll() is not None:
        return
    for each in _family(process):
        with contextlib.suppress(psutil.Error):
            each.kill()
    process.wait()
