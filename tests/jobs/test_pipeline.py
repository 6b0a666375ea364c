"""A batch waits for a service that does not answer, for a while, and says so once."""

from __future__ import annotations

import logging

import pytest

from jobs.pipeline import patiently
from schemas.errors import DataError, ServiceError

LOG = logging.getLogger("tidemark.test")


def answers_after(failures: int) -> list[Exception | str]:
    return [*(ServiceError("redis 127.0.0.1:1: does not serve") for _ in range(failures)), "done"]


def taking(outcomes: list[Exception | str]) -> str:
    outcome = outcomes.pop(0)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def test_it_tries_until_the_service_answers_and_logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = answers_after(3)
    assert patiently(lambda: taking(outcomes), log=LOG, patience_ms=20_000) == "done"
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["waiting up to 20 s", "it answers again, nothing was lost"]


def test_it_gives_up_in_time_and_says_what_happens_then(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = answers_after(1_000)
    with pytest.raises(ServiceError, match="redis"):
        patiently(lambda: taking(outcomes), log=LOG, patience_ms=500)
    assert "gave up after 0 s, the task restarts from the last checkpoint: redis" in caplog.text


def test_what_is_no_outage_is_not_tried_again() -> None:
    outcomes: list[Exception | str] = [DataError("damaged"), "done"]
    with pytest.raises(DataError):
        patiently(lambda: taking(outcomes), log=LOG)
    assert outcomes == ["done"]
