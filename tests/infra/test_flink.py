"""What is told of a cluster's jobs when Flink does not tell all of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from infra.flink import Cluster
from infra.flink_refusal import RefusedError

LISTED = {"jid": "a", "name": "features", "state": "RUNNING", "start-time": 1, "tasks": {"running": 2, "total": 3}}
COMPLETED = {"latest": {"completed": {"external_path": "file:/chk-7"}, "restored": {"external_path": "file:/chk-2"}}}


class Endpoint(BaseHTTPRequestHandler):
    """Flink's REST endpoint of one job, whose checkpoints it tells, or refuses to."""

    checkpoints: Any = COMPLETED

    def do_GET(self) -> None:
        answers = {"/jobs/overview": {"jobs": [LISTED]}, "/jobs/a/metrics?get=numRestarts": [], "/jobs/a/checkpoints": self.checkpoints}
        answer = answers[self.path]
        if isinstance(answer, int):
            self.send_error(answer)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield Cluster(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    serving.join()


@pytest.mark.parametrize(
    ("told", "checkpoint"),
    [
        (COMPLETED, "file:/chk-7"),
        ({"latest": {"completed": None, "restored": {"external_path": "file:/chk-2"}}}, "file:/chk-2"),
        ({"latest": None}, None),
        (500, None),  # of one job, and no reason to tell nothing of the others
    ],
)
def test_a_job_s_newest_checkpoint_is_what_flink_can_tell(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, told: object, checkpoint: str | None
) -> None:
    monkeypatch.setattr(Endpoint, "checkpoints", told)
    (job,) = cluster.jobs()
    assert (job.name, job.tasks, job.checkpoint) == ("features", (2, 3), checkpoint)


def test_any_other_refusal_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "checkpoints", 404)
    with pytest.raises(RefusedError, match=r"refused /jobs/a/checkpoints: HTTP 404: it has no such thing, or is not Flink$"):
        cluster.jobs()
