"""Another generation of the store, filled from the tiles topics and from history while the one that is there is served.

A job of its own writes it and goes on with it: every tile comes to both, and none is handed over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from rich.progress import Progress, TaskID

from features.plan import Plan, ViewPlan
from inference.online.active_generation import project_of
from inference.online.store import OnlineStore
from inference.online.writer import TileWriter, tile_schema
from infra import flink, flink_submission
from infra.settings import Settings
from jobs.control.generations import job_name
from jobs.control.tile_closings import Extent
from jobs.kafka.lag import Lag
from jobs.spark.session import session
from jobs.spark.tiles_of_history import BEFORE_THE_STREAM, Wanted, staged
from schemas.errors import ServiceError
from schemas.parquet import parquet_files
from schemas.schema import SHIPPED, SchemaSet
from schemas.wording import quantity

_POLL_S = 0.5
_BATCH = 10_000


def start(settings: Settings, store: OnlineStore, backlog: Lag, generation: int, known: Mapping[str, Extent]) -> None:
    """Let a job fill the generation from nothing, unless one does."""
    name = job_name(generation)
    if flink.Cluster(settings.flink_url).running(name) is not None:
        print(f"job {name} fills generation {generation} already", flush=True)
        return
    store.remove(project_of(generation))
    backlog.forget()
    frontiers = store.frontiers(project=project_of(generation))
    for view, extent in known.items():
        frontiers.closed(view, [(extent.first_ms - extent.tile_ms, 0)])  # what was closed before has no closing any more
    job_id = flink_submission.submit("jobs.materialize", ["--generation", str(generation)], name=name, settings=settings, fresh=True)
    print(f"job {name} {job_id} fills generation {generation}", flush=True)


def follow(settings: Settings, backlog: Lag, generation: int, progress: Progress, task: TaskID) -> None:
    """Wait until the job has read what the topics held when it began."""
    name, cluster = job_name(generation), flink.Cluster(settings.flink_url)
    progress.update(task, description="tiles topics", total=backlog.total)
    while (left := backlog.left()) > 0:
        progress.update(task, completed=backlog.total - left)
        if cluster.running(name) is None:
            raise ServiceError(f"rebuild: job {name} has ended before it had read all; see `tidemark jobs`, and run this again")
        time.sleep(_POLL_S)
    progress.update(task, completed=backlog.total)


def fill(
    spark: SparkSession,
    wanted: Wanted,
    store: OnlineStore,
    project: str,
    folder: Path,
    *,
    slack_ms: int,
    ttl_ms: int | None,
    progress: Progress,
) -> int:
    """Write tiles of history into a generation, where the stream's own stay; returns how many there were.

    Args:
        spark: A session.
        wanted: Which tiles; only such as have been closed, or they would stand in for tiles that are still to come.
        store: That is rebuilt.
        project: Feast's project.
        folder: A place for what lies between.
        slack_ms: How much longer than the longest window tiles are kept.
        ttl_ms: After how long without a write an entity is forgotten; None: never.
        progress: Where to show it.
    """
    total = 0
    for view, own in staged(spark, wanted, folder):
        count = sum(pq.read_metadata(file).num_rows for file in parquet_files(own))
        task = progress.add_task(f"{view.name}, history", total=count)
        writer = TileWriter(view, store, project=project, slack_ms=slack_ms, ttl_ms=ttl_ms)
        for batch in _batches(view, own):
            writer.write(batch, stand_in=True)
            progress.advance(task, len(batch))
        total += count
    return total


def fill_of_history(
    settings: Settings, plan: Plan, store: OnlineStore, events: Path, known: Mapping[str, Extent], generation: int, progress: Progress
) -> None:
    """Add the tiles of history that had been closed when the rebuild began."""
    schemas = SchemaSet.load(settings.schemas or SHIPPED)
    with TemporaryDirectory(dir=settings.home, prefix="tiles-") as folder, session("tidemark rebuild") as spark:
        for name, extent in sorted(known.items()):
            wanted = Wanted(
                views=(plan.views[name],), schemas=schemas, events=events, as_known=False, late_only=False, until_ms=extent.last_ms
            )
            count = fill(
                spark,
                wanted,
                store,
                project_of(generation),
                Path(folder),
                slack_ms=settings.tile_slack_ms,
                ttl_ms=settings.online_ttl_ms,
                progress=progress,
            )
            store.frontiers(project=project_of(generation)).complete([name])
            print(f"{name}: {quantity(count, 'tile')} of history", flush=True)


def _batches(view: ViewPlan, folder: Path) -> Iterator[pa.Table]:
    schema = tile_schema(view)
    for file in parquet_files(folder):
        for batch in pq.ParquetFile(file).iter_batches(_BATCH):
            table = pa.Table.from_batches([batch])
            table = table.append_column("revision", pa.array([BEFORE_THE_STREAM] * len(table), type=pa.int64()))
            yield table.select(schema.names).cast(schema)
