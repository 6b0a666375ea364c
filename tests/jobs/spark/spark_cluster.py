"""A real standalone Spark cluster for tests: a master and workers, each a process of its own on loopback, and a Python for them that lacks Tidemark."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.java import java_environment
from infra.service import LOOPBACK, Ports, Service, ServiceSpec
from infra.spark.environment import spark_home
from tests.waiting import PATIENCE_S, eventually


@dataclass(kw_only=True)
class Cluster:
    """The running processes.

    Attributes:
        master: What `--master` names.
        python: An interpreter with the environment's packages, but without the project that is installed into it.
        workers: Those that were started.
    """

    master: str
    python: Path
    status: Callable[[], dict[str, Any]]
    workers: list[Service] = field(default_factory=list)

    def kill(self, number: int) -> None:
        """Kill -9 a worker with its executors, as when its machine is lost."""
        process = self.workers[number].process
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def running(folder: Path, *, workers: int) -> Iterator[Cluster]:
    """A cluster of workers with one core each; all its processes are ended with the block."""
    ports = Ports()
    port, web = ports.claim("master"), ports.claim("master's page")

    def status() -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{web}/json/", timeout=PATIENCE_S) as answer:
            found = json.load(answer)
            assert isinstance(found, dict)
            return found

    master = f"spark://{LOOPBACK}:{port}"
    cluster = Cluster(master=master, python=bare_python(folder / "python"), status=status)
    started: list[Service] = []
    try:
        started.append(_daemon(folder, "master.Master", "master", port, "--port", str(port), "--webui-port", str(web)))
        _until(lambda: status()["status"] == "ALIVE", started)
        for number in range(workers):
            options = ("--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(folder / f"work-{number}"), master)
            cluster.workers.append(_daemon(folder, "worker.Worker", f"worker-{number}", port, *options))
            started.append(cluster.workers[-1])
        _until(lambda: status()["aliveworkers"] == workers, started)
        yield cluster
    finally:
        for service in reversed(started):
            service.stop()
        for service in reversed(started):
            service.wait(time.monotonic() + 15)


def _daemon(folder: Path, kind: str, name: str, port: int, *options: str) -> Service:
    memory = {"SPARK_DAEMON_MEMORY": "192m", "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"}
    home = spark_home()
    spec = ServiceSpec(
        name=name,
        command=(str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", "--host", LOOPBACK, *options),
        environ={
            **java_environment(),
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": LOOPBACK,
            "SPARK_LOCAL_DIRS": str(folder / "local"),
            **memory,
        },
        folder=folder,
        port=port,
        port_setting="",
        output=folder / f"{name}.log",
        log=folder / f"{name}.log",
        ready=lambda: True,
        alive=lambda: True,
    )
    service = Service(spec=spec)
    service.start()
    return service


def _until(ready: Callable[[], bool], services: list[Service]) -> None:
    def checked() -> None:
        for service in services:
            service.check()

    def answered() -> bool:
        try:
            return ready()
        except OSError:
            return False

    eventually(lambda: "\n".join(service.last_words() for service in services), answered, unless=checked)


def bare_python(folder: Path) -> Path:
    """A virtual environment whose packages are this one's. A `.pth` file inside them, by which the project is installed, is not followed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    (Path(own) / "packages.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python
