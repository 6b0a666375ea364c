"""What Flink's REST endpoint answers is told as what it is; that it does not run is asked only when nobody answers."""

from __future__ import annotations

import socket
import threading
from http import HTTPStatus

import pytest

from infra.flink import Cluster
from infra.flink_refusal import RefusedError
from schemas.errors import ServiceError
from tests.http_answers import answering

ERRORS = [status for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST]


@pytest.mark.parametrize("status", ERRORS)
def test_an_answer_is_a_refusal_with_flinks_own_reason(status: HTTPStatus) -> None:
    body = b'{"errors": ["", "org.apache.flink.runtime.rest.handler.RestHandlerException: Job 7 not found. And more\\n\\tat org.x.Y(Z.java:1)"]}'
    with answering(status, body) as url, pytest.raises(RefusedError) as refused:
        Cluster(url).jobs()
    told = str(refused.value)
    assert refused.value.code == status
    assert told.startswith(
        f"flink at {url}: refused /jobs/overview: HTTP {status.value}: org.apache.flink.runtime.rest.handler.RestHandlerException: "
    )
    assert "Job 7 not found" in told and "And more" not in told and "is it running" not in told


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors": 3}'])
def test_an_answer_without_a_reason_is_one_all_the_same(body: bytes) -> None:
    with answering(503, body) as url, pytest.raises(RefusedError, match=r"HTTP 503: it is starting, or its JobManager has no leader yet"):
        Cluster(url).jobs()


def test_what_is_not_flink_is_told_so() -> None:
    with answering(200, b"<html>") as url, pytest.raises(ServiceError, match=r"what answers there is not Flink"):
        Cluster(url).jobs()


def test_what_speaks_no_http_is_no_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"SSH-2.0-x\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ServiceError, match=r"^flink at .*: does not answer: "):
            Cluster(f"http://127.0.0.1:{server.getsockname()[1]}").jobs()
        thread.join()


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(
        ServiceError, match=r"does not answer: Connection refused; is it running\? See `tidemark status`, or set TIDEMARK_FLINK$"
    ):
        Cluster(url).jobs()
