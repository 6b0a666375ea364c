"""What hangs is told from what waits for its turn: processes that are stopped, that drown in garbage, that start, that a busy machine starves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infra import liveness
from infra.liveness import Garbage, Liveness
from infra.service import Ports, Service, exchange
from tests.infra.test_service import spec
from tests.waiting import eventually

_ANSWERING = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(1)
            connection.sendall(b"!")
"""
_WORKING = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
{_ANSWERING}"""
_COLLECTING = """
import ctypes, threading, time
def collect():
    ctypes.CDLL(None).prctl(15, b"GC Thread#0", 0, 0, 0)
    while True: pass
threading.Thread(target=collect, daemon=True).start()
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths."""
    monkeypatch.setattr(liveness, "TOLD_S", 0.2)
    monkeypatch.setattr(liveness, "_MEASURED_S", 0.2)


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Service]:
    """A service that answers whoever asks, and has a process that works for it; looked at once."""
    port = Ports().claim("thing")
    plain = replace(spec(tmp_path, _WORKING), has_workers=True)
    given = replace(plain, command=(*plain.command, str(port)), alive=lambda: exchange(port, b"?", 1, timeout_s=0.2) != b"")
    service = Service(spec=given, hang_s=1.0)
    service.start()
    try:
        assert eventually("it answers", lambda: service.spec.alive() is True)
        service.look()
        assert service.trouble is None
        yield service
    finally:
        os.killpg(service.process.pid, signal.SIGKILL)
        service.process.wait()


def looked(service: Service) -> Service:
    service.look()
    return service


@pytest.mark.slow
def test_one_that_does_not_answer_is_told_of_then_killed_and_replaced(answering: Service) -> None:
    hanging = answering.process
    os.kill(hanging.pid, signal.SIGSTOP)
    assert eventually("it is told", lambda: looked(answering).trouble is not None)
    assert answering.trouble is not None
    assert answering.trouble.what == "does not answer, its process is stopped"
    assert hanging.poll() is None, "it is told of before it is killed"
    assert eventually("it is killed", lambda: looked(answering).process.poll() is not None)
    assert eventually("it is started again", answering.revive)
    assert (answering.restarts, answering.process.pid != hanging.pid) == (1, True)
    assert answering.replaced_for == "does not answer, its process is stopped for 1 s"
    assert eventually("it answers", lambda: answering.spec.alive() is True)
    answering.look()
    assert answering.trouble is None


def test_one_that_goes_on_in_time_is_left_alone(answering: Service) -> None:
    process = answering.process
    os.kill(process.pid, signal.SIGSTOP)
    assert eventually("it is told", lambda: looked(answering).trouble is not None)
    os.kill(process.pid, signal.SIGCONT)
    assert eventually("it is well", lambda: looked(answering).trouble is None)
    assert process.poll() is None


def test_a_worker_that_is_stopped_is_told_of_then_killed_alone(answering: Service) -> None:
    (worker,) = psutil.Process(answering.process.pid).children(recursive=True)
    worker.suspend()
    assert eventually("it is told", lambda: looked(answering).trouble is not None)
    assert answering.trouble is not None
    assert answering.trouble.what == f"its worker {worker.pid} is stopped"
    assert worker.status() == psutil.STATUS_STOPPED, "it is told of before it is killed"
    assert eventually("it is killed", lambda: looked(answering) and worker.status() == psutil.STATUS_ZOMBIE)
    assert eventually("all is well", lambda: looked(answering).trouble is None)
    assert answering.process.poll() is None
    assert answering.restarts == 0


def test_a_worker_that_goes_on_in_time_is_left_alone(answering: Service) -> None:
    (worker,) = psutil.Process(answering.process.pid).children(recursive=True)
    worker.suspend()
    assert eventually("it is told", lambda: looked(answering).trouble is not None)
    worker.resume()
    assert eventually("it is well", lambda: looked(answering).trouble is None)
    assert worker.status() == psutil.STATUS_SLEEPING


def test_one_that_starts_may_take_its_time(tmp_path: Path) -> None:
    """A broker that recovers its log, a store that loads its file: it is told of, and goes on."""
    service = Service(spec=replace(spec(tmp_path, "import time; time.sleep(600)"), alive=lambda: False), hang_s=0.3)
    service.start()
    try:
        assert eventually("it is told", lambda: (told := looked(service).trouble) is not None and told.counted_s > 0.6)
        assert service.trouble is not None
        assert service.trouble.what == "starts, and has not answered yet"
        service.look()
        assert service.process.poll() is None
    finally:
        service.process.kill()
        service.process.wait()


def test_what_cannot_be_asked_counts_for_nothing(tmp_path: Path) -> None:
    """A TaskManager, of which a JobManager that hangs itself tells nothing."""
    watched = Liveness(process=psutil.Process(), alive=lambda: None)
    watched.answered = True
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        assert watched.ask() is None


def test_the_silence_of_one_that_waits_for_its_turn_counts_less_but_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted_s(*turns: tuple[int, int]) -> float:
        told, now = iter(turns), iter(range(100))
        monkeypatch.setattr(liveness, "_turns", lambda _: next(told))
        monkeypatch.setattr("infra.liveness.time.monotonic", lambda: float(next(now)))
        silent = Liveness(process=psutil.Process(), alive=lambda: False)
        monkeypatch.setattr(silent._garbage, "share", lambda: None)
        for _ in turns:
            trouble = silent.ask()
        assert trouble is not None
        return trouble.counted_s

    assert counted_s((5, 5), (5, 5), (5, 5)) == 3.0, "it wants nothing"
    assert counted_s((0, 0), (10, 0), (20, 0)) == 3.0, "it has all that it wants"
    assert counted_s((0, 0), (10, 10), (20, 20)) == 2.0, "half of it"
    assert counted_s((0, 0), (1, 999), (2, 1998)) == 1.5, "next to nothing: patience has an end all the same"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_one_that_does_nothing_but_collect_garbage_is_in_trouble_though_it_answers() -> None:
    with subprocess.Popen([sys.executable, "-c", _COLLECTING]) as drowning:
        try:
            watched = Liveness(process=psutil.Process(drowning.pid), alive=lambda: True)
            assert eventually(
                "it is told", lambda: (found := watched.ask()) is not None and found.what == "does little but collect garbage"
            )
        finally:
            drowning.kill()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_neither_an_idle_process_nor_one_that_works_drowns_in_garbage() -> None:
    for script in ("import time; time.sleep(600)", "while True: pass"):
        with subprocess.Popen([sys.executable, "-c", script]) as process:
            try:
                garbage = Garbage(process.pid)
                shares: list[float] = []
                while len(shares) < 3:
                    if (share := garbage.share()) is not None:
                        shares.append(share)
                assert max(shares) == 0.0
            finally:
                process.kill()
