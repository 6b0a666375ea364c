"""Child processes: ports, last words, and that none outlives its owner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from infra.service import LOOPBACK, MARK, Ports, Service, ServiceSpec, marked, sweep
from schemas.errors import ServiceError
from tests.waiting import PATIENCE_S, eventually


def spec(folder: Path, script: str, **environ: str) -> ServiceSpec:
    """A service that runs a line of Python."""
    return ServiceSpec(
        name="thing",
        command=(sys.executable, "-c", script),
        environ=os.environ | environ,
        folder=folder,
        port=0,
        port_setting="",
        output=folder / "thing.out",
        log=folder / "thing.log",
        ready=lambda: False,
        alive=lambda: True,
    )


def test_a_fixed_port_that_is_taken_is_named_with_its_setting() -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"^kafka: port {port} is taken; .* set TIDEMARK_KAFKA_PORT to another port"):
            Ports().claim("kafka", port, "TIDEMARK_KAFKA_PORT")


def test_two_services_cannot_be_given_one_port() -> None:
    ports = Ports()
    port = ports.claim("one")
    with pytest.raises(ServiceError, match=f"port {port} is taken"):
        ports.claim("two", port, "TIDEMARK_REDIS_PORT")


def test_a_service_that_ends_while_starting_is_quoted(tmp_path: Path) -> None:
    service = Service(spec=spec(tmp_path, "print('starting'); raise ValueError('no such disk')"))
    service.start()
    service.process.wait()
    with pytest.raises(ServiceError) as died:
        service.check()
    assert str(died.value) == f"thing: ended with exit code 1 while starting: ValueError: no such disk (log: {tmp_path / 'thing.out'})"


def test_a_service_that_was_killed_says_by_what(tmp_path: Path) -> None:
    service = Service(spec=spec(tmp_path, "import time; time.sleep(3600)"))
    service.start()
    service.process.kill()
    service.process.wait()
    with pytest.raises(ServiceError, match=r"^thing: was ended by SIGKILL while starting: it wrote nothing"):
        service.check()


@pytest.mark.slow
def test_a_service_that_dies_is_started_again(tmp_path: Path) -> None:
    service = Service(spec=spec(tmp_path, "import time; time.sleep(3600)"))
    service.start()
    first = service.process.pid
    service.process.kill()
    service.process.wait()
    eventually("it is started again", service.revive)
    assert service.restarts == 1
    assert service.process.pid != first
    service.stop()
    service.wait(time.monotonic() + PATIENCE_S)


def test_one_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    service = Service(
        spec=spec(tmp_path, "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)")
    )
    service.start()
    eventually("it runs", lambda: "up" in (tmp_path / "thing.out").read_text())
    service.stop()
    service.wait(time.monotonic() + 0.2)
    assert service.process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's; elsewhere `tidemark down` clears up")
def test_a_service_dies_with_its_supervisor(tmp_path: Path) -> None:
    parent = (
        "import sys, time; from pathlib import Path; from infra.service import Service; from tests.infra.test_service import spec\n"
        "service = Service(spec=spec(Path(sys.argv[1]), 'import time; time.sleep(3600)')); service.start()\n"
        "print(service.process.pid, flush=True); time.sleep(3600)"
    )
    with subprocess.Popen([sys.executable, "-c", parent, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    eventually("it has ended", lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.slow
def test_a_sweep_kills_what_carries_the_mark_and_nothing_else(tmp_path: Path) -> None:
    forking = "import subprocess, sys; print('up', flush=True); subprocess.run([sys.executable, '-c', 'import time; time.sleep(3600)'])"
    mine, theirs = uuid.uuid4().hex, uuid.uuid4().hex
    ours = Service(spec=spec(tmp_path, forking, **{MARK: mine}))
    others = Service(spec=spec(tmp_path, "import time; time.sleep(3600)", **{MARK: theirs}))
    ours.start()
    others.start()
    try:
        eventually("the child of a child runs, and carries the mark too", lambda: len(marked(mine)) == 2)
        assert sweep(mine) == 2
        assert marked(mine) == []
        assert others.process.poll() is None
    finally:
        sweep(theirs)
        ours.process.wait()
        others.process.wait()
