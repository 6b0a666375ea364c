"""Commands of our own run as child processes, several at a time, each with its log; none outlives the demo."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.service import tail
from infra.settings import Settings
from schemas.errors import ServiceError

_POLL_S = 0.1
_GRACE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """A command line of `tidemark`.

    Attributes:
        name: For people.
        arguments: After `tidemark`.
        log: Where its output goes.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path


@dataclass(kw_only=True)
class _Lane:
    tasks: list[Task]
    current: tuple[Task, subprocess.Popen[bytes], float] | None = field(default=None)


def run(
    lanes: Sequence[Sequence[Task]], settings: Settings, *, began: Callable[[Task], None], ended: Callable[[Task, float], None]
) -> None:
    """Run lanes of tasks side by side, the tasks of a lane one after the other.

    Args:
        lanes: Of tasks.
        settings: Given to each through its environment.
        began: Told when a task starts.
        ended: Told when a task has ended well, with the seconds that it took.

    Raises:
        ServiceError: A task failed; the others have been ended.
    """
    open_lanes = [_Lane(tasks=list(lane)) for lane in lanes]
    try:
        while open_lanes:
            for lane in open_lanes:
                _advance(lane, settings, began, ended)
            open_lanes = [lane for lane in open_lanes if lane.current or lane.tasks]
            time.sleep(_POLL_S)
    finally:
        for lane in open_lanes:
            if lane.current is not None:
                _end(lane.current[1])


def _advance(lane: _Lane, settings: Settings, began: Callable[[Task], None], ended: Callable[[Task, float], None]) -> None:
    if lane.current is not None:
        task, process, since = lane.current
        code = process.poll()
        if code is None:
            return
        lane.current = None
        if code:
            word = _last_word(task.log)
            raise ServiceError(f"demo: {task.name} failed: {word}" + ("" if "(log: " in word else f" (log: {task.log})"))
        ended(task, time.monotonic() - since)
    if lane.tasks:
        task = lane.tasks.pop(0)
        began(task)
        lane.current = (task, _start(task, settings), time.monotonic())


def _start(task: Task, settings: Settings) -> subprocess.Popen[bytes]:
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.cli.main", *task.arguments],
            env=os.environ | settings.environment(),
            cwd=settings.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt it, so that it ends what it has started itself, then make sure of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_word(log: Path) -> str:
    """Our own clear line if there is one, else the last line."""
    lines = tail(log)
    ours = [line.removeprefix("tidemark: ") for line in lines if line.startswith("tidemark: ")]
    return (ours or [line.strip() for line in lines if line.strip()] or ["it wrote nothing"])[-1]
