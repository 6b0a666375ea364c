"""`tidemark rebuild`: the store anew, as another generation, from the tiles topics and history, while serving goes on from the one that is there.

A job of its own writes the new generation and goes on with it: every tile comes to both, and none is handed over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from features.catalog import load
from features.compiler.plan import FRONTIER_TOPIC, Plan, ViewPlan
from inference.online import generations
from inference.online.connection import Client, connect
from inference.online.frontier import Frontiers
from inference.online.losses import refuse_losses
from inference.online.serving import project_of
from inference.online.store import TileWriter, refuse_forgetting, tile_schema
from infra import flink
from infra.settings import Settings
from jobs import switch, topics
from jobs.applied import refuse_other_tiles
from jobs.backlog import Backlog
from jobs.bootstrap import BEFORE_THE_STREAM, Wanted, staged
from jobs.closings import Extent, extents
from jobs.generations import job_name, served
from jobs.spark_session import session
from schemas.errors import ServiceError, SettingError
from schemas.parquet import parquet_files
from schemas.record import SHIPPED, SchemaSet

_POLL_S = 0.5
_BATCH = 10_000


def command(
    events: Annotated[
        Path | None,
        typer.Option(help="Folder with one folder of Parquet files per source, e.g. the archive: for tiles that the topics no longer keep"),
    ] = None,
    switch_: Annotated[
        bool, typer.Option("--switch", help="Serve it when it is proven equal, and remove the one that is served now")
    ] = False,
) -> int:
    """Fill another generation of the store from the tiles topics, and compare it with the one that is served, value by value.

    Run it again to go on after an interrupt. Exit code 1 where the generations differ.
    """
    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    if not plan.views:
        raise SettingError("rebuild: the definitions declare no feature view; there is nothing to do")
    if events is not None and not events.is_dir():
        raise SettingError(f"--events: {events}: no such folder")
    refuse_forgetting(plan.views.values(), settings.online_ttl_ms)
    refuse_other_tiles(settings, plan.views.values())
    client = connect(settings.redis_url)
    refuse_losses(client, plan.views.values(), loss=settings.online_loss)
    topics.ensure(settings, plan)
    now = served(settings, client).generation
    new = now + 1
    read = (*(view.tiles_topic for view in plan.views.values()), FRONTIER_TOPIC)
    backlog = Backlog(settings.kafka_servers, read, f"tidemark.{job_name(new)}")
    known = extents(settings, plan) if events is not None else {}
    _start(settings, client, backlog, new, known if backlog.truncated else {})
    with _bar() as (progress, task):
        _follow(settings, backlog, new, progress, task)
        if events is not None:
            _fill(settings, plan, client, events, known, new, progress)
    if backlog.truncated and events is None:
        print(f"{', '.join(backlog.truncated)}: the beginning is no longer kept; what is missing comes from history: --events")
    if switch_:
        return switch.command(new, keep=False, despite=False)
    proof = switch.prove(settings, client, tuple(plan.views.values()), now, new)
    switch.show(proof, now, new)
    if not proof.holds:
        return 1
    print(f"generation {new} is filled, and job {job_name(new)} goes on with it; `tidemark switch` serves it")
    return 0


def _start(settings: Settings, client: Client, backlog: Backlog, generation: int, known: Mapping[str, Extent]) -> None:
    """Let a job fill the generation from nothing, unless one does."""
    name = job_name(generation)
    if flink.Cluster(settings.flink_url).running(name) is not None:
        print(f"job {name} fills generation {generation} already", flush=True)
        return
    generations.remove(client, project_of(generation))
    backlog.forget()
    frontiers = Frontiers(client, project=project_of(generation))
    for view, extent in known.items():
        frontiers.closed(view, [(extent.first_ms - extent.tile_ms, 0)])  # what was closed before has no closing any more
    job_id = flink.submit("jobs.materialize", ["--generation", str(generation)], name=name, settings=settings, fresh=True)
    print(f"job {name} {job_id} fills generation {generation}", flush=True)


def _follow(settings: Settings, backlog: Backlog, generation: int, progress: Progress, task: TaskID) -> None:
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
    client: Client,
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
        client: Of the store.
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
        writer = TileWriter(view, client, project=project, slack_ms=slack_ms, ttl_ms=ttl_ms)
        for batch in _batches(view, own):
            writer.write(batch, stand_in=True)
            progress.advance(task, len(batch))
        total += count
    return total


def _fill(
    settings: Settings, plan: Plan, client: Client, events: Path, known: Mapping[str, Extent], generation: int, progress: Progress
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
                client,
                project_of(generation),
                Path(folder),
                slack_ms=settings.tile_slack_ms,
                ttl_ms=settings.online_ttl_ms,
                progress=progress,
            )
            Frontiers(client, project=project_of(generation)).complete([name])
            print(f"{name}: {count:,} tiles of history", flush=True)


def _batches(view: ViewPlan, folder: Path) -> Iterator[pa.Table]:
    schema = tile_schema(view)
    for file in parquet_files(folder):
        for batch in pq.ParquetFile(file).iter_batches(_BATCH):
            table = pa.Table.from_batches([batch])
            table = table.append_column("revision", pa.array([BEFORE_THE_STREAM] * len(table), type=pa.int64()))
            yield table.select(schema.names).cast(schema)


@contextmanager
def _bar() -> Iterator[tuple[Progress, TaskID]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task("")
