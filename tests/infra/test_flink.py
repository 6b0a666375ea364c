"""What is told of a cluster: its jobs when Flink does not tell all of them, what they failed of, and what there is for another."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from infra.flink import Cluster
from infra.flink_client import root_cause
from infra.flink_needs import Needs, Room, buffer_bytes, misfit
from infra.flink_refusal import RefusedError
from infra.settings import Settings
from tests.infra.rooms import taskmanager

LISTED = {"jid": "a", "name": "features", "state": "RUNNING", "start-time": 1, "tasks": {"running": 2, "total": 3}}
COMPLETED = {"latest": {"completed": {"external_path": "file:/chk-7"}, "restored": {"external_path": "file:/chk-2"}}}


class Endpoint(BaseHTTPRequestHandler):
    """Flink's REST endpoint of one job, whose checkpoints it tells, or refuses to."""

    checkpoints: Any = COMPLETED
    others: ClassVar[dict[str, Any]] = {}

    def do_GET(self) -> None:
        answers = {"/jobs/overview": {"jobs": [LISTED]}, "/jobs/a/metrics?get=numRestarts": [], "/jobs/a/checkpoints": self.checkpoints}
        answer = (answers | self.others)[self.path]
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
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
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


def test_a_checkpoint_that_does_not_end_is_told_with_how_much_of_it_is_left(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is of a worker that hangs: the job RUNS, and its tasks do."""
    ended = {"status": "COMPLETED", "trigger_timestamp": 10_000, "num_subtasks": 3, "num_acknowledged_subtasks": 3}
    begun = [
        {"status": "IN_PROGRESS", "trigger_timestamp": at, "num_subtasks": 3, "num_acknowledged_subtasks": 2} for at in (95_000, 90_000)
    ]
    monkeypatch.setattr(Endpoint, "checkpoints", COMPLETED | {"history": [*begun, ended]})
    others = {
        "/jobs/overview": {"jobs": [LISTED | {"tasks": {"running": 3, "total": 3}}]},
        "/jobs/a": {"timestamps": {"RUNNING": 30_000}},
        "/jobs/a/exceptions?maxExceptions=1": {"exceptionHistory": {"entries": []}},
    }
    monkeypatch.setattr(Endpoint, "others", others)
    (job,) = cluster.jobs()
    assert cluster.trouble(job, now_ms=119_999) is None
    assert cluster.trouble(job, now_ms=120_000) == (
        "features: RUNNING since 00:00:30Z (90 s), a checkpoint has not ended after 30 s: 1 of 3 tasks hang, wait for a service, or have much to do"
    )
    assert not job.is_troubled
    monkeypatch.setattr(Endpoint, "checkpoints", COMPLETED | {"history": [ended]})
    (job,) = cluster.jobs()
    assert cluster.trouble(job, now_ms=120_000) is None


def test_any_other_refusal_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "checkpoints", 404)
    with pytest.raises(RefusedError, match=r"refused /jobs/a/checkpoints: HTTP 404: it has no such thing, or is not Flink$"):
        cluster.jobs()


def test_of_the_jobs_that_have_ended_nothing_is_asked_but_what_one_answer_tells(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster remembers them, and a submission asks for its own job many times a second."""
    ended = [LISTED | {"jid": str(number), "state": "CANCELED"} for number in range(99)]  # of which the endpoint knows no more
    monkeypatch.setattr(Endpoint, "others", {"/jobs/overview": {"jobs": [*ended, LISTED]}})
    assert cluster.job("a").checkpoint == "file:/chk-7"
    assert cluster.running("features") == cluster.job("a")
    assert cluster.names() == {"features"}
    cluster.cancel("7")


LOST = "java.util.concurrent.TimeoutException: Heartbeat of TaskManager flink-taskmanager timed out\n\tat org.apache.flink.Any.call(Any.java:1)"
FAILED = {
    "exceptionHistory": {"entries": [{"exceptionName": "java.util.concurrent.TimeoutException", "stacktrace": LOST, "timestamp": 60_000}]}
}


@pytest.mark.parametrize(
    ("state", "running", "restarts", "line"),
    [
        ("RUNNING", 3, 0, None),
        ("FINISHED", 0, 2, None),
        ("RUNNING", 2, 0, "features: RUNNING since 00:00:30Z (90 s), 2 of 3 tasks run"),
        (
            "RESTARTING",
            0,
            12,
            "features: RESTARTING since 00:00:30Z (90 s), 0 of 3 tasks run, restarted 12×, failed last 00:01:00Z: "
            "java.util.concurrent.TimeoutException: Heartbeat of TaskManager flink-taskmanager timed out",
        ),
        (
            "RUNNING",
            3,
            1,
            "features: RUNNING since 00:00:30Z (90 s), restarted 1×, failed last 00:01:00Z: "
            "java.util.concurrent.TimeoutException: Heartbeat of TaskManager flink-taskmanager timed out",
        ),
    ],
)
def test_a_job_that_has_failed_is_told_since_when_how_often_and_of_what(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, state: str, running: int, restarts: int, line: str | None
) -> None:
    others = {
        "/jobs/overview": {"jobs": [LISTED | {"state": state, "tasks": {"running": running, "total": 3}}]},
        "/jobs/a/metrics?get=numRestarts": [{"id": "numRestarts", "value": str(restarts)}],
        "/jobs/a": {"timestamps": {state: 30_000}},
        "/jobs/a/exceptions?maxExceptions=1": FAILED if restarts else {"exceptionHistory": {"entries": []}},
    }
    monkeypatch.setattr(Endpoint, "others", others)
    (job,) = cluster.jobs()
    assert cluster.trouble(job, now_ms=120_000) == line
    assert job.is_troubled is (state == "RESTARTING")


def test_a_graph_that_does_not_fit_its_checkpoint_is_told_in_words_of_ours() -> None:
    """Flink names an operator by 32 hex digits and advises an option that drops state in silence."""
    lines = (
        "Caused by: java.lang.IllegalStateException: Failed to rollback to checkpoint/savepoint file:/x/chk-7. Cannot map checkpoint/savepoint "
        "state for operator 0a448493b4782967b150582570326227 to the new program, because the operator is not available in the new program. "
        "If you want to allow to skip this, you can set the --allowNonRestoredState option on the CLI."
    )
    said = root_cause(["org.apache.flink.client.program.ProgramInvocationException: The main method caused an error", lines])
    assert said is not None
    assert said.startswith("its graph is not that of its checkpoint: ")
    assert said.endswith("submit it with --fresh")


def test_room_is_read_from_what_the_cluster_tells(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {
        "/taskmanagers": {"taskmanagers": [taskmanager(slots=4, free=1, managed_mb=400), taskmanager(slots=2, free=2, managed_mb=100)]},
        "/jobmanager/config": [{"key": "state.backend.type", "value": "rocksdb"}],
    }
    monkeypatch.setattr(Endpoint, "others", others)
    assert cluster.room() == Room(
        taskmanagers=2,
        slots=6,
        free=3,
        slot_bytes=50 << 20,
        buffers=2 * 4096,
        weights={"OPERATOR": 70, "STATE_BACKEND": 70, "PYTHON": 30},
        state_is_managed=True,
        on_demand=False,
        jobs=("features",),
    )


EMBEDDED, ELSEWHERE = Settings(), Settings(flink="http://flink:8081")
WINDOWS = Needs(slots=1, window_operators=90, managed_bytes=400 << 20, python=True, buffers=5000)


@pytest.mark.parametrize(
    ("needs", "settings", "told"),
    [
        (
            Needs(slots=3),
            EMBEDDED,
            "it needs 3 slots, 2 of 12 are free; features, score-buy run: `tidemark cancel` what is not needed, or TIDEMARK_FLINK_SLOTS=13, "
            "then `tidemark down` and `tidemark up`",
        ),
        (
            Needs(slots=3),
            ELSEWHERE,
            "it needs 3 slots, 2 of 12 are free; features, score-buy run: `tidemark cancel` what is not needed, or give the cluster 13 slots",
        ),
        (
            WINDOWS,
            EMBEDDED,
            "its 90 window operators need 576 MB of a slot, and a slot of the cluster has 256 MB; its exchanges need 5000 network buffers, and the cluster "
            "has 4096: TIDEMARK_FLINK_SLOT_MEMORY=576MB and TIDEMARK_FLINK_NETWORK_MEMORY=160MB, then `tidemark down` and `tidemark up`; "
            "or begin views in jobs of their own (--only)",
        ),
        (
            Needs(slots=2, buffers=5000),
            EMBEDDED,
            "its exchanges need 5000 network buffers, and the cluster has 4096: TIDEMARK_FLINK_NETWORK_MEMORY=160MB, "
            "then `tidemark down` and `tidemark up`",
        ),
        (Needs(slots=2, window_operators=9, managed_bytes=100 << 20, python=True, buffers=4096), EMBEDDED, None),
    ],
)
def test_a_job_that_does_not_fit_is_told_the_number_that_would_do(needs: Needs, settings: Settings, told: str | None) -> None:
    there = [taskmanager(slots=12, free=2, managed_mb=3072)]
    assert misfit(needs, Room.of(there, {}, ["features", "score-buy"]), settings) == told


def test_with_the_number_that_was_told_the_job_fits() -> None:
    for managed_mb in range(1, 600, 7):
        needs = Needs(slots=1, window_operators=1, managed_bytes=managed_mb << 20, python=True)
        told = misfit(needs, Room.of([taskmanager(slots=1, free=1, managed_mb=1)], {}, []), EMBEDDED)
        assert told is not None
        (wanted,) = re.findall(r"TIDEMARK_FLINK_SLOT_MEMORY=(\d+)MB", told)
        assert misfit(needs, Room.of([taskmanager(slots=1, free=1, managed_mb=int(wanted))], {}, []), EMBEDDED) is None


def test_a_cluster_without_a_taskmanager_is_told_and_one_that_starts_them_itself_is_not() -> None:
    assert misfit(Needs(slots=1), Room.of([], {}, []), ELSEWHERE) == "the cluster has no TaskManager; start one"
    assert (
        misfit(Needs(slots=1), Room.of([], {}, []), EMBEDDED)
        == "the cluster has no TaskManager; one that was lost is replaced, see `tidemark status`"
    )
    assert misfit(Needs(slots=1), Room.of([], {"kubernetes.cluster-id": "ours"}, []), ELSEWHERE) is None


def test_every_window_operator_has_room_for_the_longest_record() -> None:
    """Flink's map of a window operator takes a mebibyte ahead of the first row, and fails for good of one that does not fit into the rest."""
    assert buffer_bytes(Settings()) > (1 << 20) + Settings().max_record_bytes
