"""Tiles from Kafka into the online store by the job, with one subtask and with two, beside its materializer alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from benchmarks import pace, services
from benchmarks.benchmark import CORES, Benchmark, Contender, Figures, Role, Workspace
from benchmarks.online import inputs
from benchmarks.online.store import fill
from benchmarks.processes import CommandError, measured
from benchmarks.works.materialize import topics
from benchmarks.works.materialize.progress import Progress
from benchmarks.works.online_write import check, ours, stream
from inference.online.redis.connection import Client, connect
from inference.online.redis.store import RedisStore
from infra import flink, flink_submission, runtime
from infra.settings import Settings

ROOT = Path(__file__).parents[3]
OURS, ONE, ALONE = "Tidemark", "Tidemark, one subtask", "the materializer alone"
JOB = "materialize"

_JOB = (
    "from the beginning of its topics, so that a batch has several tiles of a key; CPU and memory of the TaskManager and its Python workers"
)
_ALONE = (
    "the same records, read topic by topic beforehand, 5,000 at a time in one Python process, without Flink; its figures are of all tiles"
)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is to be done.

    Attributes:
        settings: Of the runtime and of the job.
        given: The history, and the records after it, which are in their topics too.
    """

    settings: Settings
    given: Path

    def emptied(self) -> Client:
        """The store without anything."""
        client = connect(self.settings.redis_url)
        client.flushall()
        return client

    def processes(self, name: str) -> list[psutil.Process]:
        """Those of a service."""
        state = runtime.running(self.settings)
        assert state is not None
        return [psutil.Process(each.pid) for each in state.services if each.name == name]


def prepare(workspace: Workspace) -> list[Contender]:
    """The runtime, with 120 hours of tiles in its topics, 6 when quick."""
    given = workspace.folder / "inputs"
    stream.ensure_records(given, hours=6 if workspace.quick else 120)
    settings = replace(services.start(workspace), definitions=inputs.HERE / "definitions", schemas=inputs.HERE / "schemas")
    topics.publish(settings, pq.read_table(given / "stream.parquet"))
    work = _Work(settings=settings, given=given)
    return [_job(OURS, CORES, work), _job(ONE, 1, work), _alone(work)]


def _job(name: str, subtasks: int, work: _Work) -> Contender:
    settings = replace(work.settings, parallelism=subtasks)

    def run(out: Path) -> Figures:
        client = work.emptied()
        fill(inputs.plan(), RedisStore(client), work.given)
        progress, cluster = Progress(client, work.given), flink.Cluster(settings.flink_url)
        id = flink_submission.submit(f"jobs.{JOB}", [], name=JOB, settings=settings, fresh=True)
        try:
            found = pace.paced(progress, progress.tiles, work.processes("flink-taskmanager"), work.processes("valkey"), of="the store")
            if restarts := cluster.job(id).restarts:
                raise CommandError(f"job {JOB} restarted {restarts} times")
        finally:
            cluster.cancel(id)
        ours.read_back(RedisStore(client), work.given, out)
        return {"seconds": found.seconds * progress.tiles, **_figures(found.seconds, *found.cpu_seconds), "peak_bytes": found.peak_bytes[0]}

    what = f"`tidemark submit materialize`, parallelism {subtasks}, "
    return Contender(name=name, role=Role.OURS, what=what + _JOB, run=run, check=_right(work))


def _alone(work: _Work) -> Contender:
    def run(out: Path) -> Figures:
        work.emptied()
        (store,) = work.processes("valkey")
        arguments = [work.settings.kafka_servers, work.settings.redis_url, store.pid, work.given, out]
        command = [sys.executable, "-m", f"{__name__}.alone", *map(str, arguments)]
        peak_bytes = measured(command, out / "log", environ={"PYTHONPATH": str(ROOT)})["peak_bytes"]
        told = json.loads((out / "told.json").read_text())
        return {
            "seconds": told["seconds"],
            **_figures(*(told[each] / told["tiles"] for each in ("seconds", "cpu_seconds", "store_cpu_seconds"))),
            "peak_bytes": peak_bytes,
        }

    return Contender(name=ALONE, role=Role.LIMIT, what=_ALONE, run=run, check=_right(work))


def _figures(seconds: float, cpu_seconds: float, store_cpu_seconds: float) -> Figures:
    """Of what one tile takes."""
    return {"tiles_per_s": 1 / seconds, "cpu_us_per_tile": cpu_seconds * 1e6, "store_cpu_us_per_tile": store_cpu_seconds * 1e6}


def _right(work: _Work) -> Callable[[Path], None]:
    return lambda out: check.tiles(out, work.given)


BENCHMARK = Benchmark(
    title=(
        "Materialize: 691,166 tiles of three views from Kafka into one Valkey that holds 27 hours of each key, merged by compare-and-set; "
        "at the pace between a tenth of them and nine tenths"
    ),
    prepare=prepare,
    end=services.end,
    goals=(),
    in_quick=False,  # of a small input it would tell how fast jobs start
    shown=("tiles_per_s", "cpu_us_per_tile", "store_cpu_us_per_tile", "seconds", "peak_bytes"),
)
