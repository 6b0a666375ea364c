"""From the time at which a request is due to the time at which a consumer has its prediction, at steady rates, with both deliveries."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from numpy.typing import NDArray

from inference.model import load
from infra.settings import Settings
from tests.benchmarks import services
from tests.benchmarks.benchmark import CORES, Benchmark, Contender, Figures, Goal, Role, Workspace
from tests.benchmarks.environments import python
from tests.benchmarks.processes import CommandError
from tests.benchmarks.scoring import inputs
from tests.benchmarks.scoring.ready import Ready
from tests.benchmarks.works.latency import over_http
from tests.benchmarks.works.latency.batches import Batches

AT_LEAST_ONCE, EXACTLY_ONCE, FEAST = "Tidemark, at least once", "Tidemark, exactly once", "feast serve, a predict server"
RATES = (200, 1_000, 2_000, 5_000)
WARM_UP_RATE = 2_000
BEHIND = 100_000
"""Requests of one second, after all rates: more than the job answers in it, so that they wait; of these only their batches are measured."""
COMMIT_MS = 1_000
"""Between the checkpoints with which transactions are committed; without them the default is as good."""
_PATIENCE_S = 60.0

_FEAST = (
    "HTTP, no Kafka: a client asks FastAPI with `Booster.predict`, which asks `feast serve` of two workers for the same features as plain values, computed "
    "beforehand, one request at a time; at the lowest rate every answer is waited for, a higher one is left out where answers fall two seconds behind"
)


def prepare(workspace: Workspace) -> list[Contender]:
    """What is needed to score."""
    ready, seconds = Ready.of(workspace), 3 if workspace.quick else 15
    what = f"`tidemark submit score`, parallelism 1, {seconds} s at each rate; behind: {BEHIND:,} in a second"
    given = workspace.folder / "over_http"
    served = ready.served(inputs.requests(over_http.requests(seconds)))
    over_http.prepare(given, served)
    truth = load(ready.model).predict(served)
    often = replace(ready.settings, delivery="exactly_once", checkpoint_interval_ms=COMMIT_MS)
    return [
        Contender(name=AT_LEAST_ONCE, role=Role.OURS, what=what, run=_run(ready, ready.settings, seconds), check=lambda out: None),
        Contender(
            name=EXACTLY_ONCE,
            role=Role.OURS,
            what=f"{what}, transactions of a second; the consumer reads what is committed",
            run=_run(ready, often, seconds),
            check=lambda out: None,
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
        with ready.job(settings) as job, _reading(settings.kafka_servers, service.predictions_topic) as arrived:
            batches = Batches(settings, job)
            for rate in (WARM_UP_RATE, *RATES):
                started, count = time.monotonic(), rate * seconds
                begin = _sent(settings, rate, seconds, first)
                waited = _waited(arrived, first, count) - (begin + np.arange(count) / rate)
                took = time.monotonic() - started
                per_batch = batches.requests_per_batch(first + count)
                if first:  # after the warm-up
                    figures[f"p50_{rate}_per_second_seconds"] = float(np.quantile(waited, 0.5))
                    figures[f"p99_{rate}_per_second_seconds"] = float(np.quantile(waited, 0.99))
                    figures[f"requests_per_batch_{rate}_per_second"] = per_batch
                    figures["seconds"] += took
                first += count
            _sent(settings, BEHIND, 1, first)
            _waited(arrived, first, BEHIND)
            figures["requests_per_batch_behind"] = batches.requests_per_batch(first + BEHIND)
        return figures

    return run


def _sent(settings: Settings, rate: int, seconds: int, first: int) -> float:
    """Send requests at a rate; when the first was due."""
    command = [sys.executable, "-m", f"{__name__}.open_loop", settings.kafka_servers, str(rate), str(seconds), str(first)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _waited(arrived: dict[int, float], first: int, count: int) -> NDArray[np.float64]:
    """When each request had its answer, seconds since the epoch, float64[count]."""
    deadline = time.monotonic() + _PATIENCE_S
    while any(number not in arrived for number in range(first, first + count)):
        if time.monotonic() > deadline:
            raise CommandError(
                f"{sum(number not in arrived for number in range(first, first + count)):,} of {count:,} requests have no prediction"
            )
        time.sleep(0.1)
    return np.array([arrived[number] for number in range(first, first + count)])


@contextmanager
def _reading(servers: str, topic: str) -> Iterator[dict[int, float]]:
    """Request → when a consumer had its first prediction, filled as they come, for as long as the block."""
    arrived: dict[int, float] = {}
    ended = Event()

    def read() -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "latency",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 5,
                "log_level": 0,
            }
        )
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(CORES)])
        while not ended.is_set():
            messages = consumer.consume(1_000, timeout=0.005)
            now = time.time()
            for message in messages:
                if message.error() is None:
                    arrived.setdefault(int((message.key() or b"")[1:]), now)
        consumer.close()

    reader = Thread(target=read)
    reader.start()
    try:
        yield arrived
    finally:
        ended.set()
        reader.join()


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
    ),
)
