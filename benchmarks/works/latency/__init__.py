"""From the time at which a request is due to the time at which a consumer has its prediction, at steady rates, with both deliveries."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import services
from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from benchmarks.environments import python
from benchmarks.scoring import check, inputs
from benchmarks.scoring.ready import Ready
from benchmarks.works.latency import over_http
from benchmarks.works.latency.arrivals import LEGS, reading
from benchmarks.works.latency.batches import Batches
from inference.model.loading import load
from infra.settings import Settings

AT_LEAST_ONCE, EXACTLY_ONCE, FEAST = "Tidemark, at least once", "Tidemark, exactly once", "feast serve, a predict server"
RATES = (200, 1_000, 2_000, 5_000)
CHIEF_RATE = 2_000
"""Of which it is told where the time goes, and what was answered."""
WARM_UP = 3
"""Times as long as a rate is measured, 2,000 requests a second that do not count: Java still compiles what it runs."""
ANSWERS = "answers.parquet"
BEHIND = 100_000
"""Requests of one second, after all rates: more than the job answers in it, so that they wait; of these only their batches are measured."""
COMMIT_MS = 1_000
"""Between the checkpoints with which transactions are committed; without them the default is as good."""

_FEAST = (
    "HTTP, no Kafka: a client asks FastAPI with `Booster.predict`, which asks `feast serve` of two workers for the same features as plain values, computed "
    "beforehand, one request at a time; at the lowest rate every answer is waited for, a higher one is left out where answers fall two seconds behind"
)


def prepare(workspace: Workspace) -> list[Contender]:
    """What is needed to score."""
    ready, seconds = Ready.of(workspace), 3 if workspace.quick else 15
    what = f"`tidemark submit score`, parallelism 1, {seconds} s at each rate after {WARM_UP * seconds} s that do not count; behind: {BEHIND:,} in a second"
    given = workspace.folder / "over_http"
    served = ready.served(inputs.requests(over_http.requests(seconds)))
    over_http.prepare(given, served)
    truth = load(ready.model).predict(served)
    last = seconds * (WARM_UP * CHIEF_RATE + sum(rate for rate in RATES if rate <= CHIEF_RATE))
    served_to_all = ready.served(inputs.requests(last))

    def right(out: Path) -> None:
        answers = pq.read_table(out / ANSWERS)
        check.answers(answers["value"].to_pylist(), ready.model, served_to_all.take(answers["number"]))

    often = replace(ready.settings, delivery="exactly_once", checkpoint_interval_ms=COMMIT_MS)
    return [
        Contender(name=AT_LEAST_ONCE, role=Role.OURS, what=what, run=_run(ready, ready.settings, seconds), check=right),
        Contender(
            name=EXACTLY_ONCE,
            role=Role.OURS,
            what=f"{what}, transactions of a second; the consumer reads what is committed",
            run=_run(ready, often, seconds),
            check=right,
        ),
        Contender(
            name=FEAST,
            role=Role.PEER,
            what=_FEAST,
            run=over_http.run(python(workspace.peers, "feast"), ready.model, given, seconds),
            check=lambda out: over_http.right(out, truth),
        ),
    ]


def _run(ready: Ready, settings: Settings, seconds: int) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        service, figures, first = inputs.service(), {"seconds": 0.0}, 0
        services.empty(settings, service.request.topic)
        with ready.job(settings) as job, reading(settings.kafka_servers, service.predictions_topic) as arrivals:
            batches = Batches(settings, job)
            for rate, lasts in ((CHIEF_RATE, WARM_UP * seconds), *((rate, seconds) for rate in RATES)):
                started, count = time.monotonic(), rate * lasts
                if rate == CHIEF_RATE and first:
                    arrivals.wanted = range(first, first + count)
                due = _sent(settings, rate, lasts, first) + np.arange(count) / rate
                waited = arrivals.waited(first, count) - due
                took = time.monotonic() - started
                per_batch = batches.requests_per_batch(first + count)
                if first:  # after the warm-up
                    figures[f"p50_{rate}_per_second_seconds"] = float(np.quantile(waited, 0.5))
                    figures[f"p99_{rate}_per_second_seconds"] = float(np.quantile(waited, 0.99))
                    figures[f"requests_per_batch_{rate}_per_second"] = per_batch
                    figures["seconds"] += took
                    if rate == CHIEF_RATE:
                        figures |= arrivals.legs(due)
                first += count
            _sent(settings, BEHIND, 1, first)
            arrivals.waited(first, BEHIND)
            figures["requests_per_batch_behind"] = batches.requests_per_batch(first + BEHIND)
        pq.write_table(pa.table({"number": list(arrivals.wanted), "value": arrivals.bodies()}), out / ANSWERS)
        return figures

    return run


def _sent(settings: Settings, rate: int, seconds: int, first: int) -> float:
    """Send requests at a rate; when the first was due."""
    command = [sys.executable, "-m", f"{__name__}.open_loop", settings.kafka_servers, str(rate), str(seconds), str(first)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


BENCHMARK = Benchmark(
    title="Latency: from when a request is due to when a consumer has its prediction, at steady rates; 24 features of three views, 200 trees of 63 leaves",
    prepare=prepare,
    end=services.end,
    goals=(
        Goal(name="latency_p50_at_2000", figure="p50_2000_per_second_seconds", of=AT_LEAST_ONCE, at_most=0.050),
        Goal(name="latency_p99_at_2000", figure="p99_2000_per_second_seconds", of=AT_LEAST_ONCE, at_most=0.120),
        Goal(name="exactly_once_p99_at_2000", figure="p99_2000_per_second_seconds", of=EXACTLY_ONCE, at_most=0.120 + COMMIT_MS / 1000),
    ),
    peers=("feast",),
    in_quick=False,
    warm_up=False,
    shown=(
        *(f"{quantile}_{rate}_per_second_seconds" for rate in RATES for quantile in ("p50", "p99")),
        *(f"requests_per_batch_{rate}_per_second" for rate in RATES),
        "requests_per_batch_behind",
        *(f"{leg}_p{rank}_seconds" for leg in LEGS for rank in (50, 99)),
    ),
)
