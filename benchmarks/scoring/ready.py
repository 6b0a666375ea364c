"""A runtime in which requests can be scored: its store filled, the model trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pyarrow as pa
from confluent_kafka.admin import AdminClient

from benchmarks import services
from benchmarks.benchmark import Workspace
from benchmarks.scoring import inputs
from inference.online.reader import OnlineReader
from inference.online.redis.connection import connect
from inference.online.redis.store import RedisStore
from infra import flink, flink_submission, runtime
from infra.settings import Settings

JOB = f"score-{inputs.SERVICE}"
_PART = 20_000


@dataclass(frozen=True, kw_only=True)
class Ready:
    """It.

    Attributes:
        settings: Of the runtime and of the job.
        model: Folder of the model.
    """

    settings: Settings
    model: Path

    @classmethod
    def of(cls, workspace: Workspace) -> Ready:
        """Start the services, fill the store, train the model."""
        settings = replace(services.start(workspace), definitions=inputs.DEFINITIONS, schemas=inputs.SCHEMAS, parallelism=1)
        client, model = connect(settings.redis_url), workspace.folder / "model"
        client.flushall()
        inputs.fill(client)
        inputs.train(model, client)
        return cls(settings=settings, model=model)

    def served(self, requests: pa.Table) -> pa.Table:
        """What the store serves for requests."""
        reader = OnlineReader(inputs.service(), RedisStore(connect(self.settings.redis_url)))
        return pa.concat_tables([reader.read(requests.slice(start, _PART)).table for start in range(0, len(requests), _PART)])

    def workers(self) -> list[psutil.Process]:
        """The processes in which jobs run."""
        state = runtime.running(self.settings)
        assert state is not None
        return [psutil.Process(each.pid) for each in state.services if each.name == "flink-taskmanager"]

    @contextmanager
    def job(self, settings: Settings) -> Iterator[str]:
        """The score job from the first request of its topic, on an empty topic of predictions, for as long as the block; its id."""
        services.empty(settings, inputs.service().predictions_topic)
        _forget(settings, f"tidemark.{JOB}")
        job = flink_submission.submit("jobs.score", [inputs.SERVICE, "--model", str(self.model)], name=JOB, settings=settings, fresh=True)
        cluster = flink.Cluster(settings.flink_url)
        try:
            yield job
            assert cluster.running(JOB) is not None
        finally:
            cluster.cancel(job)


def _forget(settings: Settings, group: str) -> None:
    """Which requests an earlier run has read."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_servers})
    if group in {each.group_id for each in admin.list_consumer_groups(request_timeout=10).result().valid}:
        admin.delete_consumer_groups([group], request_timeout=10)[group].result()
