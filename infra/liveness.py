"""Whether a process that has not ended still does its work: one that hangs is told apart from one that waits for its turn on a busy machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

TOLD_S = 8.0
"""Silence that is worth telling: four heartbeats of a TaskManager."""

_GAP_S = 4.0  # the most that one question counts: who asks may itself have waited for its turn, or the machine have slept
_LEAST_SHARE = 0.25  # of what a starved process's silence counts, so that patience has an end under any load
_COLLECTING_SHARE, _COLLECTING_CPU = 0.9, 0.05  # of its CPU for garbage; of a core that it must use at all
COLLECTORS = ("GC Thread", "G1 ", "VM Thread")
"""How the names of a JVM's collecting threads begin, on Linux; the last collects where the collector is the serial one."""
_MEASURED_S = 4.0
_TICKS_PER_S = 100  # of /proc/PID/stat: USER_HZ, the same on all of Linux's architectures


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is wrong with a process that runs.

    Attributes:
        what: E.g. `does not answer`.
        since: When it was last seen well, in seconds since the epoch.
        counted_s: How much of that counts against it.
        worker: Of those that work for it, the one with which it is wrong; None where it is the process itself.
    """

    what: str
    since: float
    counted_s: float
    worker: psutil.Process | None = None


@dataclass(kw_only=True)
class Liveness:
    """What is known of one process; made anew with each.

    Attributes:
        process: Which.
        alive: Whether it answers; None when that cannot be asked now.
        has_workers: Whether it starts processes that work for it, and which it waits for: a TaskManager its Python workers.
    """

    process: psutil.Process
    alive: Callable[[], bool | None]
    has_workers: bool = False
    answered: bool = field(default=False, init=False)
    _silent: Span = field(init=False)
    _collecting: Span = field(init=False)
    _waiting: dict[psutil.Process, Span] = field(default_factory=dict, init=False)  # for a worker that is stopped
    _garbage: Garbage = field(init=False)
    _asked_at: float = field(init=False)  # of time.monotonic
    _turns: tuple[int, int] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """It is well from now on."""
        self._silent, self._collecting = Span(), Span()
        self._garbage = Garbage(self.process.pid)
        self._asked_at = time.monotonic()

    def ask(self) -> Trouble | None:
        """Ask it once; what is wrong, if anything is."""
        alive = self.alive()
        now = time.monotonic()
        gap_s, self._asked_at = min(now - self._asked_at, _GAP_S), now
        if alive:
            self.answered, self._turns = True, None
            self._silent.end()
        elif alive is not None or self.stopped:
            self._silent.add(gap_s * self._share())
        share = self._garbage.share()
        if share is not None:
            self._collecting.add(_MEASURED_S) if share > _COLLECTING_SHARE else self._collecting.end()
        if self._silent.counted_s >= TOLD_S:
            return Trouble(what=self._silence(), since=self._silent.since, counted_s=self._silent.counted_s)
        if self._collecting.counted_s >= TOLD_S:
            return Trouble(what="does little but collect garbage", since=self._collecting.since, counted_s=self._collecting.counted_s)
        return self._worker(gap_s) if self.has_workers else None

    @property
    def stopped(self) -> bool:
        """Whether somebody has stopped the process (SIGSTOP): it has no turn to wait for."""
        return _stopped(self.process)

    def _worker(self, gap_s: float) -> Trouble | None:
        """What is wrong with the worker that has been stopped for longest. Heartbeats come all the same, and a job whose worker says nothing RUNS."""
        try:
            stopped = [worker for worker in self.process.children(recursive=True) if _stopped(worker)]
        except psutil.Error:
            stopped = []
        self._waiting = {worker: self._waiting.get(worker) or Span() for worker in stopped}
        for span in self._waiting.values():
            span.add(gap_s)
        worker = max(self._waiting, key=lambda each: self._waiting[each].counted_s, default=None)
        if worker is None or (waited := self._waiting[worker]).counted_s < TOLD_S:
            return None
        return Trouble(what=f"its worker {worker.pid} is stopped", since=waited.since, counted_s=waited.counted_s, worker=worker)

    def _silence(self) -> str:
        if self.stopped:
            return "does not answer, its process is stopped"
        return "does not answer" if self.answered else "starts, and has not answered yet"

    def _share(self) -> float:
        """How much of the time since the last question a silent process ran, of what it wanted to; 1 where it wanted nothing, or nobody knows."""
        before, self._turns = self._turns, _turns(self.process.pid)
        if before is None or self._turns is None or self.stopped:
            return 1.0
        ran, waited = (max(0, after - earlier) for earlier, after in zip(before, self._turns, strict=True))
        return max(_LEAST_SHARE, ran / (ran + waited)) if ran + waited else 1.0


@dataclass(kw_only=True)
class Span:
    """For how long something has been so."""

    since: float = field(default_factory=time.time)
    counted_s: float = 0.0

    def add(self, seconds: float) -> None:
        """It still is."""
        self.counted_s += seconds

    def end(self) -> None:
        """It is not now."""
        self.since, self.counted_s = time.time(), 0.0


class Garbage:
    """How much of a JVM's CPU its collector takes, by its threads' own account (Linux): a JVM that drowns in garbage answers late, or not at all.

    HotSpot's own limit (`UseGCOverheadLimit`) is there for its parallel collector only, which none of the services uses.
    """

    def __init__(self, pid: int) -> None:
        """Of this process; nothing is read yet."""
        self._tasks = Path(f"/proc/{pid}/task")
        self._collects: dict[str, bool] = {}  # thread id → whether it collects
        self._last: tuple[float, float, float] | None = None  # time.monotonic, CPU s of the collector, of the process

    def share(self) -> float | None:
        """Of the CPU used since the last measurement; None where too little time has passed, or nothing can be read. An idle one's is 0."""
        now = time.monotonic()
        if self._last is not None and now - self._last[0] < _MEASURED_S:
            return None
        used = self._used()
        if used is None:
            return None
        last, self._last = self._last, (now, *used)
        if last is None:
            return None
        collector, whole = self._last[1] - last[1], self._last[2] - last[2]
        return 0.0 if whole < _COLLECTING_CPU * (now - last[0]) else collector / whole

    def _used(self) -> tuple[float, float] | None:
        try:
            threads = [task.name for task in self._tasks.iterdir()]
        except OSError:
            return None
        for thread in threads:
            if thread not in self._collects:
                self._collects[thread] = (_read(self._tasks / thread / "comm") or "").startswith(COLLECTORS)
        collector = sum(_cpu_s(self._tasks / thread / "stat") for thread in threads if self._collects[thread])
        return collector, _cpu_s(self._tasks.parent / "stat")


def _stopped(process: psutil.Process) -> bool:
    try:
        return process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


def _cpu_s(stat: Path) -> float:
    fields = (_read(stat) or "").rpartition(")")[2].split()  # the name in brackets may hold blanks
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else 0.0


def _turns(pid: int) -> tuple[int, int] | None:
    """How long all threads of a process have run, and have waited to, in ns; None where the system does not tell."""
    ran = waited = 0
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return None
    for task in tasks:
        numbers = (_read(task / "schedstat") or "").split()
        if len(numbers) < 2:
            continue
        ran, waited = ran + int(numbers[0]), waited + int(numbers[1])
    return (ran, waited) if ran + waited else None


def _read(file: Path) -> str | None:
    with contextlib.suppress(OSError):
        return file.read_text()
    return None
