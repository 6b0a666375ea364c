"""What a registry answers is told as what it is, and another server's 404 is no word of a registry's."""

from __future__ import annotations

import json

import pytest

from schemas.errors import ServiceError
from schemas.registry import Registry, UnknownSchema
from tests.http_answers import answering


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "set user and password in TIDEMARK_REGISTRY"),
        (403, "forbids this user"),
        (409, "compatibility"),
        (429, "asked too often"),
        (500, "see its log"),
    ],
)
def test_a_registry_that_answers_is_not_asked_after(status: int, told: str) -> None:
    with answering(status, b"{}") as url, pytest.raises(ServiceError, match=rf"answers {status} ") as refused:
        Registry(url, attempts=1).schema(1)
    assert told in str(refused.value) and "runs" not in str(refused.value)


@pytest.mark.parametrize("body", [b"", b"<html>not found</html>", b'{"detail": "Not Found"}', b"[]"])
def test_a_server_that_is_no_registry_makes_no_schema_unknown(body: bytes) -> None:
    """Else a wrong path in TIDEMARK_REGISTRY sends every event to the dead letters."""
    with answering(404, body) as url, pytest.raises(ServiceError, match=r"what answers there is no schema registry; check the path"):
        Registry(url, attempts=1).schema(1)


def test_a_registrys_own_404_is_an_unknown_schema() -> None:
    with answering(404, json.dumps({"error_code": 40403, "message": "Schema not found"}).encode()) as url, pytest.raises(UnknownSchema):
        Registry(url, attempts=1).schema(1)
