"""Requests scored with 24 features of three views by 200 trees of 63 leaves, from Kafka to Kafka."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa

from jobs.publish import Publisher
from schemas.record import SchemaSet
from tests.benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from tests.benchmarks.processes import measured
from tests.benchmarks.scoring import check, inputs, pace
from tests.benchmarks.scoring.ready import Ready
from tests.benchmarks.works.features import services

OURS, LOOP, ALONE = "Tidemark", "a plain loop", "LightGBM alone"
PREDICTIONS = "predictions"


def prepare(workspace: Workspace) -> list[Contender]:
    """What is needed to score, and the requests in their topic."""
    ready, service = Ready.of(workspace), inputs.service()
    requests = inputs.requests(60_000 if workspace.quick else 400_000)
    truth = ready.served(requests)
    services.empty(ready.settings, service.request.topic)
    schema = SchemaSet.load(inputs.SCHEMAS).current(service.request.schema)
    with Publisher(ready.settings.kafka_servers, service.request.topic, schema, event_time="event_time", key=["request_id"]) as publisher:
        publisher.publish(requests)
    loop = "one process: confluent-kafka in batches of up to 5,000, the same reader, model and encoder; no checkpoint says where it was"
    alone = "`Booster.predict` of the same rows in batches of 1,000, on one core; features read before"
    return [
        Contender(
            name=OURS,
            role=Role.OURS,
            what="`tidemark submit score`, parallelism 1, at least once",
            run=_in_flink(ready, len(requests)),
            check=_right(ready, service.predictions_topic, truth),
        ),
        Contender(name=LOOP, role=Role.PEER, what=loop, run=_in_a_loop(ready, len(requests)), check=_right(ready, PREDICTIONS, truth)),
        Contender(
            name=ALONE,
            role=Role.LIMIT,
            what=alone,
            run=_alone(ready, len(requests)),
            check=lambda out: check.scores(out / "scores.npy", ready.model, truth),
        ),
    ]


def _right(ready: Ready, topic: str, truth: pa.Table) -> Callable[[Path], None]:
    return lambda out: check.right(ready.settings.kafka_servers, topic, ready.model, len(truth), truth)


def _in_flink(ready: Ready, requests: int) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        with ready.job(ready.settings):
            return pace.watch(ready.settings.kafka_servers, inputs.service().predictions_topic, requests, ready.workers())

    return run


def _in_a_loop(ready: Ready, requests: int) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        settings = ready.settings
        services.empty(settings, PREDICTIONS)
        arguments = [ready.model, settings.redis_url, settings.kafka_servers, PREDICTIONS, requests]
        process = psutil.Popen([sys.executable, "-m", f"{__name__}.in_loop", *map(str, arguments)])
        try:
            return pace.watch(settings.kafka_servers, PREDICTIONS, requests, [process])
        finally:
            process.terminate()
            process.wait()

    return run


def _alone(ready: Ready, requests: int) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        arguments = [ready.model, ready.settings.redis_url, requests, out / "told.json"]
        figures = measured([sys.executable, "-m", f"{__name__}.predict_alone", *map(str, arguments)], out / "log")
        return {**json.loads((out / "told.json").read_text()), "peak_bytes": figures["peak_bytes"]}

    return run


BENCHMARK = Benchmark(
    title=f"Scoring: requests with 24 features of three views and {inputs.TREES} trees of {inputs.LEAVES} leaves, from Kafka to Kafka",
    prepare=prepare,
    end=services.end,
    goals=(
        Goal(name="score_vs_predict_limit", figure="requests_of_a_core_per_s", of=OURS, to=(ALONE,), at_least=0.5),
        Goal(name="score_vs_plain_loop", figure="requests_of_a_core_per_s", of=OURS, to=(LOOP,), at_least=1.0),
    ),
)
