"""The embedded broker: Kafka in KRaft mode, broker and controller in one process, one node, loopback only."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from infra import jars, log4j
from infra.java import EXIT_WITHOUT_MEMORY, QUICK, java_environment, jit_flags, temporary
from infra.service import LOOPBACK, Ports, ServiceSpec, exchange, tail
from infra.settings import Settings
from schemas.errors import ServiceError

LARGEST_RECORD_BYTES = 8 << 20
"""Well above the gate's own limit, so that an over-large record reaches the gate and its dead-letter topic."""

_NODE = "1"
_CLUSTER = "VGlkZW1hcmstbG9jYWwtMQ"  # any 16 bytes in URL-safe base64; there is one cluster in a home
_FOREVER_MS = str(2**63 - 1)
_HEAP = ("-Xms128m", "-Xmx448m", "-XX:+UseSerialGC", "-Xss512k", EXIT_WITHOUT_MEMORY)
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 7, -1)  # length, ApiVersions, version 0, correlation id 7, no client id
_API_ANSWER = struct.pack(">ih", 7, 0)  # the correlation id, no error


def service(settings: Settings, ports: Ports) -> ServiceSpec:
    """How to run it; formats its data folder the first time, which then survives restarts.

    Raises:
        ServiceError: The fixed port is taken.
        SettingError: Java or the jars are missing and cannot be had.
    """
    home = settings.home / "kafka"
    shutil.rmtree(home / "tmp", ignore_errors=True)  # what a killed broker left
    home.mkdir(parents=True, exist_ok=True)
    logs = settings.home / "logs"
    logs.mkdir(exist_ok=True)
    port = ports.claim("kafka", settings.kafka_port, "TIDEMARK_KAFKA_PORT")
    properties = _properties(home / "data", port, ports.claim("kafka controller"), settings)
    config = home / "server.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    environ = {name: value for name, value in java_environment().items() if name not in ("CLASSPATH", "KAFKA_OPTS")}
    java = (f"{environ['JAVA_HOME']}/bin/java", *_HEAP, *temporary(home / "tmp"), *log4j.options(home, log=logs / "kafka.log"))
    java = (*java, "-cp", os.pathsep.join(map(str, jars.classpath("kafka", settings))))
    formatting = (*java, *QUICK, "kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER, "--config", str(config))
    return ServiceSpec(
        name="kafka",
        command=(*java, *jit_flags(settings), "kafka.Kafka", str(config)),
        environ=environ,
        folder=home,
        port=port,
        port_setting="TIDEMARK_KAFKA_PORT",
        output=logs / "kafka.out",
        log=logs / "kafka.log",
        ready=lambda: exchange(port, _API_VERSIONS, 10)[4:] == _API_ANSWER,
        alive=lambda: exchange(port, _API_VERSIONS, 1) != b"",
        prepare=lambda: None if (home / "data" / "meta.properties").exists() else _format(formatting, environ, logs / "kafka-format.out"),
        grace_s=25.0,
    )


def _properties(data: Path, port: int, controller_port: int, settings: Settings) -> Mapping[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": _NODE,
        "controller.quorum.voters": f"{_NODE}@{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "log.dirs": str(data),
        "num.partitions": str(settings.partitions),
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(LARGEST_RECORD_BYTES),
        # Replays publish history: by default a record of 2013 would be deleted within minutes, and one from the future refused ahead of the gate.
        "log.retention.ms": "-1",
        "log.roll.hours": "876000",
        "log.message.timestamp.before.max.ms": _FOREVER_MS,
        "log.message.timestamp.after.max.ms": _FOREVER_MS,
        # One node: nothing to replicate, and nobody else to wait for.
        "offsets.topic.num.partitions": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "transaction.max.timeout.ms": "3600000",  # Flink's exactly-once sink may ask for an hour
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        "num.network.threads": "2",
        "num.io.threads": "4",
    }


def _format(command: tuple[str, ...], environ: Mapping[str, str], output: Path) -> None:
    with output.open("wb") as stream:
        code = subprocess.run(command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=False).returncode
    if code:
        raise ServiceError(f"kafka: its data folder could not be formatted: {(tail(output) or ['no output'])[-1]} (log: {output})")
