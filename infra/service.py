"""One child process of the embedded runtime: how it is started, known to be ready and alive, ended, and what it last said."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.liveness import Liveness, Trouble
from schemas.errors import ServiceError
from schemas.wording import sentence

LOOPBACK = "127.0.0.1"
MARK = "TIDEMARK_RUNTIME_ID"
"""Environment variable that every process of a runtime inherits, Flink's Python workers too: what `sweep` goes by."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_TROUBLE = re.compile(r"\bERROR\b|\bFATAL\b|Error\b|Exception\b|^Caused by|^# ")
_TAIL_BYTES = 64 << 10
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _SETTLED_S = 0.5, 30.0, 60.0
_FREE_PORTS = range(15_000, 32_000)  # below Linux's ephemeral ports, so that no outgoing connection takes one meanwhile


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """What to run.

    Attributes:
        name: As the user reads it, e.g. `kafka`.
        command: Program and arguments.
        environ: Its whole environment.
        folder: Its working directory.
        port: Where it is reached.
        port_setting: The setting that fixes the port.
        output: File that takes stdout and stderr.
        log: The file that the program itself writes; the same as `output` when it has none.
        ready: Whether it serves by now; called again until true.
        alive: Whether it answers at all; None when that cannot be asked now. Called again and again while it runs.
        has_workers: Whether it starts processes that work for it, each of which may hang as it may.
        prepare: What has to be done ahead of the first start.
        grace_s: How long an orderly end may take.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path
    port: int
    port_setting: str
    output: Path
    log: Path
    ready: Callable[[], bool]
    alive: Callable[[], bool | None]
    has_workers: bool = False
    prepare: Callable[[], None] = lambda: None
    grace_s: float = 20.0


@dataclass(kw_only=True)
class Service:
    """A started service; its process is replaced when it dies, and killed when it hangs.

    Attributes:
        spec: What is run.
        hang_s: How long it may not answer, once it has; one that starts may take its time, to recover a log or to load a file.
        restarts: How often it was replaced.
        replaced_for: Why, the last time.
        trouble: What is wrong with it now.
    """

    spec: ServiceSpec
    hang_s: float = 30.0
    process: subprocess.Popen[bytes] = field(init=False)
    restarts: int = field(default=0, init=False)
    replaced_for: str = field(default="", init=False)
    trouble: Trouble | None = field(default=None, init=False)
    _liveness: Liveness = field(init=False)
    _killed: bool = field(default=False, init=False)
    _started: float = field(default=0.0, init=False)  # all of time.monotonic
    _again_at: float | None = field(default=None, init=False)
    _pause_s: float = field(default=_FIRST_PAUSE_S, init=False)

    def start(self) -> None:
        """Start the process in a session of its own; it is killed when this thread's process dies (Linux)."""
        spec = self.spec
        spec.prepare()
        spec.output.parent.mkdir(parents=True, exist_ok=True)
        with spec.output.open("ab") as output:
            self.process = subprocess.Popen(
                spec.command,
                env=dict(spec.environ),
                cwd=spec.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._started = time.monotonic()
        self._killed = False
        self.excuse()

    def check(self) -> bool:
        """Whether it serves; raises ServiceError with its last words when it has ended."""
        code = self.process.poll()
        if code is not None:
            raise ServiceError(f"{self.spec.name}: {_ending(code)} while starting: {self.last_words()}")
        return self.spec.ready()

    def excuse(self) -> None:
        """Take its silence for that of one that starts, until it answers."""
        self._liveness = Liveness(process=psutil.Process(self.process.pid), alive=self.spec.alive, has_workers=self.spec.has_workers)
        self.trouble = None

    def look(self) -> None:
        """Ask it whether it works; one that has not for too long is killed, with all of its process group, for `revive` to replace.

        A worker of it that has not is killed alone: the service sees that at once, and replaces it by itself.
        """
        if self._killed or self.process.poll() is not None:
            return
        self.trouble = self._liveness.ask()
        if self.trouble is None or self.trouble.counted_s < self.hang_s or not (self._liveness.answered or self._liveness.stopped):
            return
        if self.trouble.worker is not None:
            print(f"{self.spec.name}: {self.trouble.what} for {self.trouble.counted_s:.0f} s; it is killed", flush=True)
            with contextlib.suppress(psutil.NoSuchProcess):
                self.trouble.worker.kill()
            return
        self.replaced_for = f"{self.trouble.what} for {self.trouble.counted_s:.0f} s"
        print(f"{self.spec.name}: {self.replaced_for}; it is killed", flush=True)
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # the only signal that a stopped one takes

    def revive(self) -> bool:
        """Start it again if it has died, later each time it does so soon; returns whether that was done now."""
        now = time.monotonic()
        if self._again_at is None:
            if self.process.poll() is None:
                return False
            if not self._killed:
                self.replaced_for = f"{_ending(self.process.returncode)}: {self.last_words()}"
            self.trouble = Trouble(what=f"has ended, and is started again: {self.replaced_for}", since=time.time(), counted_s=0.0)
            settled = now - self._started > _SETTLED_S
            self._pause_s = _FIRST_PAUSE_S if settled else min(2 * self._pause_s, _LONGEST_PAUSE_S)
            self._again_at = now + self._pause_s
            print(
                f"{self.spec.name}: exit code {self.process.returncode}; again in {self._pause_s:g} s: {self.last_words()}",
                flush=True,
            )
            return False
        if now < self._again_at:
            return False
        self._again_at = None
        if mark := self.spec.environ.get(MARK):
            sweep(mark, group=self.process.pid)  # what a killed one had started
        self.start()
        self.restarts += 1
        return True

    def last_words(self) -> str:
        """The line of its logs that most likely says what went wrong, and the log's path."""
        for file in dict.fromkeys((self.spec.output, self.spec.log)):
            lines = tail(file)
            troubled = [line for line in lines if _TROUBLE.search(line)]
            if line := (troubled or lines or [""])[-1]:
                return f"{sentence(line)} (log: {file})"
        return f"it wrote nothing (log: {self.spec.output})"

    def stop(self) -> None:
        """Ask it to end."""
        if self.process.poll() is None:
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait until it has ended; kill its whole process group at the deadline (of `time.monotonic`)."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _ending(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def tail(file: Path) -> list[str]:
    """The last lines of a log, without empty ones."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            return [line.strip() for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return []


def marked(mark: str) -> list[psutil.Process]:
    """All living processes of the runtime with this mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's
    return found


def sweep(mark: str, *, group: int | None = None) -> int:
    """Kill what is left of a runtime, or of one of its process groups, wherever it hangs in the process tree; returns how many there were."""
    left = [process for process in marked(mark) if group is None or _group(process) == group]
    for process in left:
        try:
            process.kill()  # psutil compares the start time: a recycled process id is never hit
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=10)
    return len(left)


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


@dataclass(kw_only=True)
class Ports:
    """Hands out loopback ports, each once: those that settings fix, else free ones."""

    taken: set[int] = field(default_factory=set)

    def claim(self, service: str, fixed: int = 0, setting: str = "") -> int:
        """A port that nothing listens on now.

        Raises:
            ServiceError: The fixed port is taken; names the port and its setting.
        """
        if fixed:
            if fixed in self.taken or not _is_free(fixed):
                raise ServiceError(
                    f"{service}: port {fixed} is taken; end what listens there, or set {setting} to another port (0 takes a free one)"
                )
            self.taken.add(fixed)
            return fixed
        for port in random.sample(_FREE_PORTS, len(_FREE_PORTS)):
            if port not in self.taken and _is_free(port):
                self.taken.add(port)
                return port
        raise ServiceError(f"{service}: no port from {_FREE_PORTS.start} to {_FREE_PORTS.stop - 1} is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a port in TIME_WAIT counts as taken
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def exchange(port: int, question: bytes, length: int, *, timeout_s: float = 2.0) -> bytes:
    """What the service at a loopback port answers first, this many bytes of it; less, or nothing, when it does not."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as connection:
            connection.sendall(question)
            return connection.recv(length, socket.MSG_WAITALL)
    except OSError:
        return b""
