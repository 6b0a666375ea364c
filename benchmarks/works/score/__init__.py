"""Requests scored with 24 features of three views by 200 trees of 63 leaves, from Kafka to Kafka."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pyarrow as pa

from benchmarks import pace, services
from benchmarks.benchmark import CORES, Benchmark, Contender, Figures, Goal, Role, Workspace
from benchmarks.environments import python
from benchmarks.processes import measured
from benchmarks.scoring import check, inputs, plain
from benchmarks.scoring.ready import Ready
from benchmarks.trees import LEAVES, TREES
from inference.online.redis.connection import connect
from jobs.kafka.connection import Connection
from jobs.kafka.producer import Publisher
from schemas.schema import SchemaSet

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[3]
OURS, ONE, LOOP, ALONE = "Tidemark", "Tidemark, one subtask", "a plain loop", "LightGBM alone"
QUIX, QUIX_PLAIN = "Quix Streams, row by row", "Quix Streams, row by row, plain values"
PREDICTIONS = "predictions"
SOME, SOME_REQUESTS = "some_payment_requests", 10_000
"""The topic of a part of the requests, for those who would need many minutes for all."""

_LOOP = "one process: confluent-kafka in batches of up to 5,000, the same reader, model and encoder; no checkpoint says where it was"
_ALONE = "`Booster.predict` of the same rows in batches of 1,000, on one core; features read before"
_PART = "; a part of the requests, its seconds multiplied"
_QUIX = "one process, a function for each request: the same decoder, reader, model and encoder, one request at a time"
_QUIX_PLAIN = (
    "one process, a function for each request, as one would write it without Tidemark: features computed beforehand as plain values, one `MGET` of three "
    "JSON objects; `Booster.predict` of one row; fastavro"
)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is needed to score.

    Attributes:
        ready: The runtime.
        truth: What the store serves for all requests.
        some: The same of the first of them, which have a topic of their own.
    """

    ready: Ready
    truth: pa.Table
    some: pa.Table


def prepare(workspace: Workspace) -> list[Contender]:
    """What is needed to score, and the requests in their topics."""
    ready, service = Ready.of(workspace), inputs.service()
    requests = inputs.requests(60_000 if workspace.quick else 400_000)
    truth = ready.served(requests)
    some = min(SOME_REQUESTS, len(requests) // 10)
    _publish(ready, service.request.topic, requests)
    _publish(ready, SOME, requests.slice(0, some))
    plain.store(connect(ready.settings.redis_url), service, truth)
    work = _Work(ready=ready, truth=truth, some=truth.slice(0, some))
    return [
        _ours(OURS, CORES, work),
        _ours(ONE, 1, work),
        _loop(work),
        _quix(QUIX, _QUIX, "tiles", python(workspace.peers, "quix"), work),
        _quix(QUIX_PLAIN, _QUIX_PLAIN, "plain", python(workspace.peers, "quix"), work),
        _alone(work),
    ]


def _publish(ready: Ready, topic: str, requests: pa.Table) -> None:
    services.empty(ready.settings, topic)
    schema = SchemaSet.load(inputs.SCHEMAS).current(inputs.service().request.schema)
    with Publisher(Connection.of(ready.settings), topic, schema, event_time="event_time", key=["request_id"]) as publisher:
        publisher.publish(requests)


def _right(work: _Work, topic: str, truth: pa.Table) -> Callable[[Path], None]:
    return lambda out: check.right(work.ready.settings.kafka_servers, topic, work.ready.model, len(truth), truth)


def _ours(name: str, subtasks: int, work: _Work) -> Contender:
    ready, topic = work.ready, inputs.service().predictions_topic

    def run(out: Path) -> Figures:
        with ready.job(replace(ready.settings, parallelism=subtasks)):
            return pace.watch(ready.settings.kafka_servers, topic, len(work.truth), ready.workers())

    what = f"`tidemark submit score`, parallelism {subtasks}, at least once"
    return Contender(name=name, role=Role.OURS, what=what, run=run, check=_right(work, topic, work.truth))


def _loop(work: _Work) -> Contender:
    settings, count = work.ready.settings, len(work.truth)
    arguments = [work.ready.model, settings.redis_url, settings.kafka_servers, PREDICTIONS, count]
    command = [sys.executable, "-m", f"{__name__}.in_loop", *map(str, arguments)]
    return Contender(
        name=LOOP,
        role=Role.PEER,
        what=_LOOP,
        run=lambda out: _answering(work, command, count, out),
        check=_right(work, PREDICTIONS, work.truth),
    )


def _quix(name: str, what: str, reader: str, interpreter: Path, work: _Work) -> Contender:
    settings = work.ready.settings

    def run(out: Path) -> Figures:
        given = (settings.redis_url, settings.kafka_servers, SOME, PREDICTIONS)
        command = [interpreter, HERE / "in_quix.py", reader, work.ready.model, out, *given]
        figures = _answering(work, list(map(str, command)), len(work.some), out)
        return {**figures, "seconds": figures["seconds"] * len(work.truth) / len(work.some)}

    return Contender(name=name, role=Role.PEER, what=what + _PART, run=run, check=_right(work, PREDICTIONS, work.some))


def _answering(work: _Work, command: Sequence[str], answers: int, out: Path) -> Figures:
    """The pace of a program that answers into an empty topic of predictions until it has answered all or is terminated."""
    settings = work.ready.settings
    services.empty(settings, PREDICTIONS)
    with (out / "log").open("wb") as log:
        process = psutil.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log)
    try:
        return pace.watch(settings.kafka_servers, PREDICTIONS, answers, [process])
    finally:
        process.terminate()
        process.wait()


def _alone(work: _Work) -> Contender:
    ready = work.ready

    def run(out: Path) -> Figures:
        arguments = [ready.model, ready.settings.redis_url, len(work.truth), out / "told.json"]
        figures = measured([sys.executable, "-m", f"{__name__}.predict_alone", *map(str, arguments)], out / "log")
        return {**json.loads((out / "told.json").read_text()), "peak_bytes": figures["peak_bytes"]}

    return Contender(
        name=ALONE, role=Role.LIMIT, what=_ALONE, run=run, check=lambda out: check.scores(out / "scores.npy", ready.model, work.truth)
    )


BENCHMARK = Benchmark(
    title=f"Scoring: requests with 24 features of three views and {TREES} trees of {LEAVES} leaves, from Kafka to Kafka",
    prepare=prepare,
    end=services.end,
    goals=(
        Goal(name="score_vs_predict_limit", figure="requests_of_a_core_per_s", of=ONE, to=(ALONE,), at_least=0.5),
        Goal(name="score_vs_plain_loop", figure="requests_of_a_core_per_s", of=ONE, to=(LOOP,), at_least=1.0),
        Goal(name="score_vs_quix", figure="requests_of_a_core_per_s", of=ONE, to=(QUIX, QUIX_PLAIN), at_least=5.0),
    ),
    peers=("quix",),
)
