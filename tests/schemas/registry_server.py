"""A schema registry on a free port, for as long as a test wants it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NOT_FOUND = (404, {"error_code": 40403, "message": "Schema not found"})


class RegistryServer(ThreadingHTTPServer):
    """Serves `/schemas/ids/<id>`, and other paths, from a dict of id or path → (status, body)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[int | str, tuple[int, object]] = {}
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: RegistryServer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        folder, _, last = self.path.rpartition("/")
        status, body = self.server.answers.get(int(last) if folder == "/schemas/ids" else self.path, NOT_FOUND)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def registry_server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def framed(schema_id: int, single_object: bytes) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + single_object[10:]
