"""A batch waits for a service that does not answer, for a while, and says so once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from jobs.flink.pipeline import BatchFunction, BatchResult, retry_until_available
from schemas.errors import DataError, ServiceError

LOG = logging.getLogger("tidemark.test")


def answers_after(failures: int) -> list[Exception | str]:
    return [*(ServiceError("redis 127.0.0.1:1: does not serve") for _ in range(failures)), "done"]


def taking(outcomes: list[Exception | str]) -> str:
    outcome = outcomes.pop(0)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@pytest.mark.slow
def test_it_tries_until_the_service_answers_and_logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = answers_after(3)
    assert retry_until_available(lambda: taking(outcomes), log=LOG, patience_ms=900_000) == "done"
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["waiting up to 900 s", "it answers again, nothing was lost"]


def test_it_gives_up_in_time_and_says_what_happens_then(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = answers_after(1_000)
    with pytest.raises(ServiceError, match="redis"):
        retry_until_available(lambda: taking(outcomes), log=LOG, patience_ms=500)
    assert "gave up after 0 s, the task restarts from the last checkpoint: redis" in caplog.text


def test_what_is_no_outage_is_not_tried_again() -> None:
    outcomes: list[Exception | str] = [DataError("damaged"), "done"]
    with pytest.raises(DataError):
        retry_until_available(lambda: taking(outcomes), log=LOG)
    assert outcomes == ["done"]


class Context:
    """Flink's, as far as a function asks it: its counters are kept here."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def get_metric_group(self) -> Context:
        return self

    def counter(self, name: str) -> Any:
        counted = self.counted

        class OfName:
            def inc(self, number: int = 1) -> None:
                counted[name] += number

        return OfName()


class Refuses(BatchFunction):
    """All records, at the second attempt."""

    metrics = ("dead_letters",)

    def start(self) -> None:
        self.attempts = 0

    def process(self, bodies: Sequence[bytes | None]) -> BatchResult:
        self.attempts += 1
        if self.attempts % 2:
            raise ServiceError("redis 127.0.0.1:1: does not serve")
        nothing = [None] * len(bodies)
        return BatchResult(keys=nothing, values=nothing, reasons=["no"] * len(bodies), counts={"dead_letters": len(bodies)})


def test_batches_and_what_is_in_them_are_counted_once_however_often_they_are_tried() -> None:
    function, context = Refuses(), Context()
    function.open(context)
    for size in (1, 3):
        assert len(function.eval(pd.Series([b""] * size))) == size
    assert function.attempts == 4
    assert context.counted == {"batches": 2, "dead_letters": 4}
