"""The embedded Flink cluster: JobManager and TaskManagers from the pip package, processes of their own, loopback only."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import jars, log4j
from infra.extras import not_installed
from infra.java import EXIT_WITHOUT_MEMORY, QUICK, java_environment, jit_flags, temporary
from infra.service import LOOPBACK, Ports, ServiceSpec
from infra.settings import Settings

_OPENED = [
    "lang",
    "net",
    "io",
    "nio",
    "lang.reflect",
    "text",
    "time",
    "util",
    "util.concurrent",
    "util.concurrent.atomic",
    "util.concurrent.locks",
]
JVM_ACCESS = (
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENED),
)
"""What Flink's own start scripts open to it (its `env.java.opts.all`), less the compiler that only its tests use."""

NO_LOGIN = {
    "security.context.factory.classes": "org.apache.flink.runtime.security.contexts.NoOpSecurityContextFactory",
    "security.module.factory.classes": "org.apache.flink.runtime.security.modules.JaasModuleFactory",
}
"""Hadoop is on the classpath for one class of the Parquet writer, not to log in anywhere: that fails for a user without a name."""

_MEBI = 1 << 20
_JOBMANAGER = {"heap": 640, "metaspace": 320}
_TASKMANAGER = {"framework_heap": 128, "task_heap": 832, "direct": 384, "metaspace": 512, "overhead": 256}


def home() -> Path:
    """FLINK_HOME: the pip package's own folder."""
    found = importlib.util.find_spec("pyflink")
    if found is None or found.origin is None:
        raise not_installed("flink")
    return Path(found.origin).parent


def classpath(settings: Settings) -> str:
    """The distribution's own libraries, then the connector and the formats."""
    own = sorted((home() / "lib").glob("*.jar"))
    return os.pathsep.join(map(str, (*own, *jars.classpath("flink", settings))))


def _services_classpath(settings: Settings) -> str:
    """The same, and what runs Python functions: loaded from here once, from the jar that every job brings 4,000 classes with every job."""
    python = sorted((home() / "opt").glob("flink-python-*.jar"))
    return os.pathsep.join((classpath(settings), *map(str, python)))


def environment(conf: Path, scratch: Path) -> dict[str, str]:
    """The environment that Flink's Java code and its Python workers read: a configuration folder, and one for temporary files."""
    flink = home()
    folders = {"FLINK_HOME": flink, "FLINK_CONF_DIR": conf, "FLINK_LIB_DIR": flink / "lib", "FLINK_OPT_DIR": flink / "opt"}
    folders |= {"FLINK_PLUGINS_DIR": flink / "plugins", "TMPDIR": scratch}
    return java_environment() | {name: str(folder) for name, folder in folders.items()}


def services(settings: Settings, ports: Ports) -> tuple[ServiceSpec, ...]:
    """How to run the JobManager and the TaskManagers.

    Raises:
        ServiceError: The fixed port is taken.
        SettingError: Java, the jars or the package are missing and cannot be had.
    """
    folder = settings.home / "flink"
    logs = settings.home / "logs"
    rest = ports.claim("flink", settings.flink_port, "TIDEMARK_FLINK_PORT")
    shutil.rmtree(folder / "tmp", ignore_errors=True)  # what a killed TaskManager left
    scratch = temporary(folder / "tmp")
    for needed in (folder / "conf", logs, settings.home / "checkpoints"):
        needed.mkdir(parents=True, exist_ok=True)
    config = _configuration(settings, folder, rest, ports.claim("flink jobmanager"))
    (folder / "conf" / "config.yaml").write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in config.items()))
    environ = environment(folder / "conf", folder / "tmp")
    jobmanager = _service(
        "flink-jobmanager",
        "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
        (
            f"-Xmx{_JOBMANAGER['heap']}m",
            "-Xms128m",
            f"-XX:MaxMetaspaceSize={_JOBMANAGER['metaspace']}m",
            "-XX:+UseSerialGC",
            EXIT_WITHOUT_MEMORY,
            *QUICK,
            *scratch,
        ),
        Member(rest=rest),
        (settings, folder, environ),
    )
    heap = _TASKMANAGER["framework_heap"] + _TASKMANAGER["task_heap"]
    direct = _TASKMANAGER["direct"] * _MEBI + settings.flink_network_memory_bytes
    options = (
        f"-Xmx{heap}m",
        "-Xms256m",
        f"-XX:MaxDirectMemorySize={direct}",
        f"-XX:MaxMetaspaceSize={_TASKMANAGER['metaspace']}m",
        "-XX:+UseG1GC",
        EXIT_WITHOUT_MEMORY,
        *jit_flags(settings),
        *scratch,
    )
    names = ["flink-taskmanager", *(f"flink-taskmanager-{number}" for number in range(2, settings.flink_taskmanagers + 1))]
    main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    return jobmanager, *(_service(name, main, options, Member(rest=rest, name=name), (settings, folder, environ)) for name in names)


@dataclass(kw_only=True)
class Member:
    """A process of the cluster, as the JobManager tells of it: itself, or a TaskManager by its name."""

    rest: int
    name: str | None = None
    _heard: int | None = field(default=None, init=False)

    def ready(self) -> bool:
        """Whether it serves."""
        told = self._told()
        return told is not None and (self.name is None or self.name in told)

    def alive(self) -> bool | None:
        """Whether it answers; for a TaskManager: whether a heartbeat of it has come since the last question, None where the JobManager is silent."""
        told = self._told()
        if told is None or self.name is None:
            return told is not None if self.name is None else None
        before, self._heard = self._heard, told.get(self.name)
        return self._heard is not None and self._heard != before

    def _told(self) -> dict[str, int] | None:
        """TaskManager → time of its last heartbeat; None while the REST endpoint does not answer."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.rest}/taskmanagers", timeout=2.0) as answer:
                listed: list[dict[str, Any]] = json.load(answer)["taskmanagers"]
                return {str(each["id"]): int(each["timeSinceLastHeartbeat"]) for each in listed}  # a time, whatever Flink calls it
        except (OSError, ValueError, KeyError):
            return None


def _service(name: str, main: str, options: tuple[str, ...], member: Member, run: tuple[Settings, Path, Mapping[str, str]]) -> ServiceSpec:
    settings, folder, environ = run
    logs = settings.home / "logs"
    java = (f"{environ['JAVA_HOME']}/bin/java", *options, *JVM_ACCESS, *log4j.options(folder / "conf", log=logs / f"{name}.log"))
    # A replacement has the name of the one that it replaces: the JobManager gives up the lost one when it hears of it.
    named = () if member.name is None else ("-D", f"taskmanager.resource-id={name}")
    return ServiceSpec(
        name=name,
        command=(*java, "-cp", _services_classpath(settings), main, "--configDir", str(folder / "conf"), *named),
        environ=environ,
        folder=folder,
        port=member.rest,
        port_setting="TIDEMARK_FLINK_PORT",
        output=logs / f"{name}.out",
        log=logs / f"{name}.log",
        ready=member.ready,
        alive=member.alive,
        has_workers=member.name is not None,
    )


def _configuration(settings: Settings, folder: Path, rest: int, rpc: int) -> Mapping[str, str | float | bool]:
    checkpoints = settings.home / "checkpoints"
    memory = {name: f"{size * _MEBI}b" for name, size in _TASKMANAGER.items()}
    slots = -(-settings.flink_slots // settings.flink_taskmanagers)  # of each
    return {
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.rpc.port": rpc,
        "jobmanager.bind-host": LOOPBACK,
        "taskmanager.host": LOOPBACK,
        "taskmanager.bind-host": LOOPBACK,
        "rest.address": LOOPBACK,
        "rest.bind-address": LOOPBACK,
        "rest.port": rest,
        "rest.bind-port": str(rest),
        # A jar uploaded through the page runs as this user; jobs come through `tidemark submit`.
        "web.submit.enable": False,
        **NO_LOGIN,
        "classloader.parent-first-patterns.additional": "org.apache.beam.;pemja.",  # see _services_classpath; Flink's own classes are anyway
        "io.tmp.dirs": str(folder / "tmp"),
        # A laptop that does much besides may take longer than the 10 s after which Flink takes its own processes for lost.
        "pekko.ask.timeout": "60s",
        "web.timeout": 60_000,
        "taskmanager.numberOfTaskSlots": slots,
        "taskmanager.load-balance.mode": "SLOTS",  # jobs go to where the fewest run
        # All sizes by name: the JVM is started without Flink's shell scripts, which would work them out in a JVM of their own.
        "taskmanager.cpu.cores": float(slots),
        "taskmanager.memory.framework.heap.size": memory["framework_heap"],
        "taskmanager.memory.task.heap.size": memory["task_heap"],
        # Of the window operators, for the most part; none of it is taken before it is used.
        "taskmanager.memory.managed.consumer-weights": "OPERATOR:90,STATE_BACKEND:90,PYTHON:10",  # of Python's part nothing is ever taken
        "taskmanager.memory.managed.size": f"{slots * settings.flink_slot_memory_bytes}b",
        "taskmanager.memory.network.min": f"{settings.flink_network_memory_bytes}b",
        "taskmanager.memory.network.max": f"{settings.flink_network_memory_bytes}b",
        "taskmanager.memory.framework.off-heap.size": f"{128 * _MEBI}b",
        "taskmanager.memory.task.off-heap.size": f"{(_TASKMANAGER['direct'] - 128) * _MEBI}b",
        "taskmanager.memory.jvm-metaspace.size": memory["metaspace"],
        "taskmanager.memory.jvm-overhead.min": memory["overhead"],
        "taskmanager.memory.jvm-overhead.max": memory["overhead"],
        "jobmanager.memory.heap.size": f"{_JOBMANAGER['heap'] * _MEBI}b",
        # State is the open tiles and little else, so the heap holds it; it is written whole, and small, with each checkpoint.
        "state.backend.type": "hashmap",
        "execution.checkpointing.dir": checkpoints.as_uri(),
        "execution.checkpointing.savepoint-dir": (settings.home / "savepoints").as_uri(),
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_ms}ms",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.num-retained": 3,
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1s",
        "restart-strategy.exponential-delay.max-backoff": "30s",
        "restart-strategy.exponential-delay.reset-backoff-threshold": "2min",
        # A thread that finds no memory outside of the heap ends the process too, as EXIT_WITHOUT_MEMORY does for the heap.
        "taskmanager.jvm-exit-on-oom": True,
        # One machine: a lost process is noticed, and its replacement used, within seconds.
        "heartbeat.interval": 2_000,
        "heartbeat.timeout": 50_000,  # a dead one is noticed by its refused calls, within seconds, one that hangs by the supervisor
    }
