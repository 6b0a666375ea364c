"""Requests scored with 24 features of three views by 200 trees of 63 leaves, from Kafka to Kafka."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pyarrow as pa
from confluent_kafka.admin import AdminClient

from inference.online.connection import connect
from inference.online.reader import OnlineReader
from infra import flink, runtime
from infra.settings import Settings
from jobs.publish import Publisher
from schemas.record import SchemaSet
from tests.benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from tests.benchmarks.processes import measured
from tests.benchmarks.works.features import services
from tests.benchmarks.works.score import check, inputs, pace

HERE = Path(__file__).parent
OURS, LOOP, ALONE = "Tidemark", "a plain loop", "LightGBM alone"
PREDICTIONS = "predictions"


@dataclass(frozen=True, kw_only=True)
class _Work:
    """The runtime with the store filled, the model, and how many requests are in the topic."""

    settings: Settings
    model: Path
    requests: int
    truth: pa.Table


def prepare(workspace: Workspace) -> list[Contender]:
    """Start the services, fill the store, train the model, publish the requests."""
    settings = replace(
        services.start(workspace), definitions=inputs.DEFINITIONS, schemas=inputs.SCHEMAS, parallelism=1, checkpoint_interval_ms=10_000
    )
    client, service = connect(settings.redis_url), inputs.service()
    client.flushall()
    inputs.fill(client)
    model = workspace.folder / "model"
    inputs.train(model, client)
    requests = inputs.requests(60_000 if workspace.quick else 400_000)
    reader = OnlineReader(service, client)
    truth = pa.concat_tables([reader.read(requests.slice(start, 20_000)).table for start in range(0, len(requests), 20_000)])
    services.empty(settings, service.request.topic)
    schema = SchemaSet.load(inputs.SCHEMAS).current(service.request.schema)
    with Publisher(settings.kafka_servers, service.request.topic, schema, event_time="event_time", key=["request_id"]) as publisher:
        publisher.publish(requests)
    work = _Work(settings=settings, model=model, requests=len(requests), truth=truth)
    return [
        _contender(
            OURS, Role.OURS, "`tidemark submit score`, parallelism 1, at least once", _in_flink(work), work, service.predictions_topic
        ),
        _contender(
            LOOP,
            Role.PEER,
            "one process: confluent-kafka in batches of up to 5,000, the same reader, model and encoder; no checkpoints, nothing is kept of where it was",
            _in_a_loop(work),
            work,
            PREDICTIONS,
        ),
        Contender(
            name=ALONE,
            role=Role.LIMIT,
            what="`Booster.predict` of the same rows in batches of 1,000, on one core; features read before",
            run=_alone(work),
            check=lambda out: None,
        ),
    ]


def _contender(name: str, role: Role, what: str, run: Callable[[Path], Figures], work: _Work, topic: str) -> Contender:
    def right(out: Path) -> None:
        check.right(work.settings.kafka_servers, topic, work.model, work.requests, work.truth)

    return Contender(name=name, role=role, what=what, run=run, check=right)


def _in_flink(work: _Work) -> Callable[[Path], Figures]:
    settings, topic, name = work.settings, inputs.service().predictions_topic, f"score-{inputs.SERVICE}"

    def run(out: Path) -> Figures:
        state = runtime.running(settings)
        assert state is not None
        services.empty(settings, topic)
        _forget_offsets(settings, f"tidemark.{name}")
        managers = [psutil.Process(each.pid) for each in state.services if each.name == "flink-taskmanager"]
        job = flink.submit("jobs.score", [inputs.SERVICE, "--model", str(work.model)], name=name, settings=settings, fresh=True)
        cluster = flink.Cluster(settings.flink_url)
        try:
            return pace.watch(settings.kafka_servers, topic, work.requests, managers, lambda: cluster.running(name) is not None)
        finally:
            cluster.cancel(job)

    return run


def _forget_offsets(settings: Settings, group: str) -> None:
    """So that the job reads the topic from its beginning."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_servers})
    if group in {each.group_id for each in admin.list_consumer_groups(request_timeout=10).result().valid}:
        admin.delete_consumer_groups([group], request_timeout=10)[group].result()


def _in_a_loop(work: _Work) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        settings = work.settings
        services.empty(settings, PREDICTIONS)
        arguments = [work.model, settings.redis_url, settings.kafka_servers, PREDICTIONS, work.requests]
        process = psutil.Popen([sys.executable, "-m", f"{__name__}.in_loop", *map(str, arguments)])
        try:
            return pace.watch(settings.kafka_servers, PREDICTIONS, work.requests, [process], lambda: True)
        finally:
            process.terminate()
            process.wait()

    return run


def _alone(work: _Work) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        arguments = [work.model, work.settings.redis_url, work.requests, out / "told.json"]
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
