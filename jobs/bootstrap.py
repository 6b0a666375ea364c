"""`tidemark bootstrap` and `tidemark correct`: tiles that Spark makes of history, published beside the stream's own.

events ─Spark SQL─▶ tiles ─▶ `tidemark.tiles.<view>` ─▶ jobs/materialize: of each tile the highest revision stays

The stream's tiles are revision 0. A bootstrap's are −1 and never replace them; a correction's are the time of its making, and do: so they are
made of closed tiles only, which nothing is added to any more.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer
from fastavro import parse_schema, schemaless_writer
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from features.catalog import load, view_named
from features.compiler.tile_schema import tile_avro_schema
from features.plan import ViewPlan
from infra.settings import Settings
from jobs.control.deployed import refuse_other_tiles
from jobs.control.tile_closings import Extent, extents
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.producer import Publisher
from jobs.parity import archive
from jobs.spark.parquet_source import events as events_of
from jobs.spark.relation import at_once, refuse
from jobs.spark.session import session
from jobs.spark.tiles_of_history import BEFORE_THE_STREAM, Wanted, staged
from schemas.errors import SettingError
from schemas.parquet import parquet_files
from schemas.schema import SHIPPED, SchemaSet, parse
from schemas.times import instant_ms, show_ms
from schemas.wording import quantity

COMMANDS = {"bootstrap": "Load the tiles of history beside the stream's", "correct": "Count late events in the tiles that they belong to"}
NEEDS = {"bootstrap": ("spark",), "correct": ("spark",)}

_BATCH = 10_000

Views = Annotated[list[str] | None, typer.Argument(help="Feature views; all when none is named")]
From = Annotated[str | None, typer.Option("--from", help="Only tiles that start at this time or later, e.g. 2013-01-01", metavar="TIME")]
Until = Annotated[str | None, typer.Option(help="Only tiles that start before this time", metavar="TIME")]


def bootstrap(
    views: Views = None,
    events: Annotated[
        Path | None, typer.Option(help="Folder with one folder of Parquet files per source; the archive when not given")
    ] = None,
    from_: From = None,
    until: Until = None,
    as_known: Annotated[bool, typer.Option("--as-known", help="Count late events too")] = False,
    replace_: Annotated[bool, typer.Option("--replace", help="Win over the stream's own tiles, e.g. one that it saw only in part")] = False,
) -> None:
    """Publish the tiles of history, so that a new view is right from its first day; the stream's own tiles stay."""
    settings = Settings.load()
    wanted = _wanted(settings, views, events, from_, until, as_known=as_known, late_only=False)
    _publish(settings, wanted, revision=_now_ms() if replace_ else BEFORE_THE_STREAM)


def correct(
    views: Views = None,
    events: Annotated[
        Path | None, typer.Option(help="Folder with one folder of Parquet files per source; the archive when not given")
    ] = None,
    from_: From = None,
    until: Until = None,
) -> None:
    """Publish anew the tiles that late events belong to, with these counted: online is then as known."""
    settings = Settings.load()
    wanted = _wanted(settings, views, events, from_, until, as_known=True, late_only=True)
    _publish(settings, wanted, revision=_now_ms())


def messages(view: ViewPlan, folder: Path, *, revision: int) -> Iterator[list[tuple[str, bytes, int]]]:
    """Staged tiles as messages of the view's tiles topic, as the stream writes them.

    Yields:
        Batches of (key, value, record timestamp in ms).
    """
    schema = parse_schema(tile_avro_schema(view))
    for file in parquet_files(folder):
        for batch in pq.ParquetFile(file).iter_batches(_BATCH):
            yield [_message(view, schema, row, revision) for row in batch.to_pylist()]


def _message(view: ViewPlan, schema: Any, row: Mapping[str, Any], revision: int) -> tuple[str, bytes, int]:
    out = io.BytesIO()
    schemaless_writer(out, schema, {**row, "revision": revision})
    key = "|".join(str(row[key.name]) for key in view.keys)
    return key, out.getvalue(), int(row["tile_start"].timestamp() * 1000) + view.tile_ms


def closed(spark: SparkSession, wanted: Wanted, closings: Mapping[str, Extent], *, archived: bool) -> Iterator[Wanted]:
    """What may win over the stream's own tiles, one view after the other: tiles that the stream has closed and that history has all of.

    Where they were merged into tiles of larger levels, those are made anew of whole intervals: also of tiles past the end that is asked for.

    Args:
        spark: A session.
        wanted: Which tiles are asked for; with an end, history is said to be whole up to it.
        closings: Of the stream, by view.
        archived: History is the archive, which has all that was closed.

    Raises:
        SettingError: A folder of events is missing.
        DataError: As of `staged`.
    """
    for view in wanted.views:
        if view.name not in closings:
            print(f"{view.name}: the stream has closed no tile yet, so there is none to win over; nothing was made", flush=True)
            continue
        end_ms = closings[view.name].last_ms
        if not archived and (wanted.until_ms is None or len(view.levels_ms) > 1):
            relation = events_of(spark, wanted.events, view.source, wanted.schemas.current(view.source.schema))
            newest = F.max(F.unix_millis(F.col(f"`{view.source.event_time}`"))).alias("ms")
            (row,) = at_once(refuse(relation.rows, relation).agg(newest))
            over_ms = end_ms if row.ms is None else (row.ms - view.source.lateness_ms + 1) // view.tile_ms * view.tile_ms
            end_ms = min(end_ms, over_ms if wanted.until_ms is None else max(over_ms, wanted.until_ms))
        if wanted.until_ms is not None:
            largest_ms = view.levels_ms[-1]
            end_ms = min(end_ms, -(-wanted.until_ms // largest_ms) * largest_ms)
        print(f"{view.name}: only tiles that start before {show_ms(end_ms)}; later ones may not be whole yet", flush=True)
        yield replace(wanted, views=(view,), closed_ms=end_ms)


def _publish(settings: Settings, wanted: Wanted, *, revision: int) -> None:
    refuse_other_tiles(settings, wanted.views)
    plan = load(settings.definitions, settings.schemas)
    admin.ensure(settings, plan)
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        scratch = TemporaryDirectory(dir=settings.home, prefix="tiles-")
    except OSError as fault:
        raise SettingError(f"TIDEMARK_HOME: {settings.home} cannot be written: {fault.strerror or fault}") from fault
    with scratch as folder, session("tidemark tiles of history") as spark:
        parts: Iterable[Wanted] = [wanted]
        if revision > 0:
            closings, archived = extents(settings, plan), wanted.events == settings.home / "archive"
            if archived and (wanted.until_ms is None or any(len(view.levels_ms) > 1 for view in wanted.views)):
                sources = {view.source.name: view.source for view in wanted.views}
                archive.wait(settings, sources.values(), wanted.schemas, wanted.events, waiting=_waits_for)
            parts = closed(spark, wanted, closings, archived=archived)
        for part in parts:
            for view, own in staged(spark, part, Path(folder)):
                _send(settings, view, own, revision=revision)


def _send(settings: Settings, view: ViewPlan, folder: Path, *, revision: int) -> None:
    """Publish staged tiles."""
    count = sum(pq.read_metadata(file).num_rows for file in parquet_files(folder))
    schema = parse(tile_avro_schema(view), name=f"tile_{view.name}")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Publisher(Connection.of(settings), view.tiles_topic, schema, event_time="tile_start") as publisher,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(view.name, total=count)
        for batch in messages(view, folder, revision=revision):
            for key, value, time_ms in batch:
                publisher.send(value, timestamp_ms=time_ms, key=key)
            bar.advance(task, len(batch))
    print(f"{view.name}: {quantity(count, 'tile')} of history to topic {view.tiles_topic}, revision {revision}", flush=True)


def _waits_for(source: str) -> None:
    print(f"{source}: waiting until the archive has all events", flush=True)


def _wanted(
    settings: Settings,
    views: Sequence[str] | None,
    events: Path | None,
    from_: str | None,
    until: str | None,
    *,
    as_known: bool,
    late_only: bool,
) -> Wanted:
    plan = load(settings.definitions, settings.schemas)
    return Wanted(
        views=tuple(view_named(plan, name) for name in (views or sorted(plan.views))),
        schemas=SchemaSet.load(settings.schemas or SHIPPED),
        events=settings.home / "archive" if events is None else events,
        as_known=as_known,
        late_only=late_only,
        from_ms=None if from_ is None else instant_ms(from_),
        until_ms=None if until is None else instant_ms(until),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
