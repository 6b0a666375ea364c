"""`tidemark publish`: a Parquet file's events into a source's topic, in event-time order, as a replay or as fast as it goes."""

from __future__ import annotations

import sys
import time
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from features import catalog
from features.plan import Plan, SourcePlan
from inference.shards.shard_map import KEY_TYPES
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.end_marker import EndMarker
from jobs.kafka.producer import Publisher
from schemas import parquet
from schemas.errors import SettingError
from schemas.event_time import HINT, plausible_as_seconds
from schemas.schema import SHIPPED, Schema, SchemaSet
from schemas.times import show_ms
from schemas.wire import now_ms
from schemas.wording import quantity

COMMANDS = {"publish": "Publish a Parquet file to a source's topic"}


def command(
    source: Annotated[str, typer.Argument(help="A source or request of the definitions, e.g. departures.")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE.parquet", help="Or a folder of them: columns are the schema's fields; times are UTC.")
    ],
    speed: Annotated[
        float | None, typer.Option(help="Event time per wall time: 60 plays an hour in a minute; as fast as it goes when left out.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="Field of the Kafka key, and so of the partition, instead of the id: a model's shard key; may be said again",
            metavar="FIELD",
        ),
    ] = None,
    end_marker: Annotated[
        bool | None,
        typer.Option(
            "--marker/--no-marker",
            help="End with a marker per partition, which closes the last tiles, ahead of the clock if need be, or without. "
            "When left out: with one, unless the last tiles ended in the last minutes or are yet to end, or the source is trusted, "
            "whose topic holds records alone.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Publish a Parquet file's rows to a source's topic, in event-time order."""
    if speed is not None and not 0 < speed < float("inf"):
        raise SettingError(f"publish: --speed {speed:g} is not a speed; allowed: above 0, e.g. 1 for real time, 60 for an hour in a minute")
    settings = Settings.load()
    plan = catalog.load(settings.definitions, settings.schemas)
    target = source_named(plan, source)
    fields = key or ([] if target.id is None else [target.id])
    if end_marker and target.trusted:
        raise SettingError(
            f'publish: source "{source}" is trusted, so its topic holds records alone and no --marker; a later record closes the last tiles'
        )
    for name in key or ():
        allowed = [column for column, type_ in target.columns.items() if type_ in KEY_TYPES]
        if name not in allowed:
            raise SettingError(f'publish: --key {name} is no string or whole number of source "{source}"; there are {", ".join(allowed)}')
    schema = SchemaSet.load(settings.schemas or SHIPPED).current(target.schema)
    table = events_in(file, schema)
    times_ms = np.asarray(table[target.event_time].cast(pa.int64()))
    ending = None if target.trusted or end_marker is False else _ending(plan, target, times_ms, settings)
    if ending is not None and end_marker:
        takes_ms = 0 if speed is None else int(np.ptp(times_ms) / speed)
        ending.check(now_ms() + takes_ms, skew_ms=settings.future_skew_ms)
    if warning := _doubtful(table, target):
        print(f"publish: {file}: {warning}", file=sys.stderr)
    kafka = Connection.of(settings)
    admin.create(kafka, [target.topic], partitions=settings.partitions, replication=settings.replication, config={"retention.ms": "-1"})
    started = time.monotonic()
    with Publisher(kafka, target.topic, schema, event_time=target.event_time, key=fields) as publisher:
        count = _publish(publisher, table, target.topic, speed)
        publisher.flush()
        took_s = time.monotonic() - started
        said = f"published {quantity(count, 'record')} to topic {target.topic} in {took_s:.1f} s ({count / max(took_s, 1e-3):,.0f}/s)"
        if ending is not None and (end_marker or not ending.is_live(now_ms())):
            said += ending.sent(publisher.marker(ending.marker_ms, final=True), now_ms())
        elif ending is not None:
            said += ending.left_out(now_ms())
    print(said)


def events_in(path: Path, schema: Schema) -> pa.Table:
    """The events in a Parquet file, or in all below a folder.

    Raises:
        SettingError: There is no such file.
        DataError: It is not Parquet, or a column is missing, of another type, or null where it may not be.
    """
    return pa.concat_tables(parquet.read(path, schema.fields, what="publish"))


def source_named(plan: Plan, name: str) -> SourcePlan:
    """A source by its name.

    Raises:
        SettingError: There is none; with the nearest name.
    """
    if name in plan.sources:
        return plan.sources[name]
    near = get_close_matches(name, plan.sources, n=1)
    raise SettingError(
        f'publish: no source "{name}"; ' + (f'did you mean "{near[0]}"?' if near else f"there are {', '.join(sorted(plan.sources))}")
    )


def _ending(plan: Plan, source: SourcePlan, times_ms: NDArray[np.int64], settings: Settings) -> EndMarker | None:
    """The marker of the newest event that jobs will take; None without any."""
    taken = times_ms[times_ms <= now_ms() + settings.future_skew_ms]
    return EndMarker.of(plan, source, newest_ms=int(taken.max())) if len(taken) else None


def _doubtful(table: pa.Table, source: SourcePlan) -> str | None:
    """What is to be said of event times before they are published."""
    times = np.asarray(table[source.event_time].cast(pa.int64()))
    suspected = plausible_as_seconds(times)
    doubted = suspected if source.earliest_ms is None else times < source.earliest_ms
    if not doubted.any():
        return None
    hint = HINT.format("seconds") if (doubted & suspected).any() else ""
    if source.earliest_ms is None:
        where, then = "in January or February 1970", " Source(earliest_event_time=…) sends such to the dead letters"
    else:
        where = f"before {show_ms(source.earliest_ms)}, the earliest_event_time of {source.name}"
        then = f"{'' if hint else ';'} they go to the dead letters, topic {source.dead_letter_topic}"
    first = show_ms(times[doubted].min())
    return f"{int(doubted.sum()):,} of {len(times):,} event times are {where}, the first at {first}{hint}{then}"


def _publish(publisher: Publisher, table: pa.Table, topic: str, speed: float | None) -> int:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(topic, total=len(table))
        return publisher.publish(table, speed=speed, progress=lambda rows: bar.advance(task, rows))
