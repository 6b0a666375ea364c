"""The tiles topic beside Spark's tiles of the same events: stream against batch without any serving log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.columns.column import TILE_START
from features.plan import ViewPlan
from features.tolerances import tile_rules
from inference.online.active_generation import read_active
from inference.online.connection import connect
from infra.settings import Settings
from jobs.parity import archive, staging
from jobs.parity.comparison import EXAMPLES, compare_columns
from jobs.parity.findings import Case, Cases, Parity, Timeline
from jobs.parity.staging import REVISION, Staging
from jobs.spark.history import ORDER, History
from jobs.spark.paths import to_read, to_write
from jobs.spark.session import session
from schemas.errors import DataError
from schemas.parquet import parquet_files
from schemas.schema import SchemaSet

Steps = Callable[[str], AbstractContextManager[None]]
Sessions = Callable[[str], AbstractContextManager[SparkSession]]
ONLINE, HISTORY = "online.", "history."
"""What the columns of each side are called in a pair of tiles."""
_BATCH = 50_000


@dataclass(frozen=True, kw_only=True)
class ParityRequest:
    """What to compare.

    Attributes:
        view: Whose tiles.
        settings: Of the services.
        schemas: Of the sources.
        events: Folder of history; None: the archive in the home, once it holds all that the topic does.
        from_ms, until_ms: Tiles that start in `[from, until)`, and that end at the view's frontier at the latest.
        as_known: Count late events too.
        examples: How many to keep.
    """

    view: ViewPlan
    settings: Settings
    schemas: SchemaSet
    events: Path | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    as_known: bool = False
    examples: int = EXAMPLES


@dataclass(frozen=True, kw_only=True)
class ParityResult:
    """What came out: the findings, from when to when tiles were compared, and records of the topic that are no tiles."""

    parity: Parity
    low_ms: int
    high_ms: int
    frontier_ms: int
    skipped: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Online:
    """The tiles of a topic: of each the highest revision, of that the last copy; how many copies of one revision there were beside."""

    frame: DataFrame
    stage: Staging
    repeats: int


def answer(question: ParityRequest, work: Path, stages: Steps, *, spark: Sessions = session) -> ParityResult:
    """Compare.

    Args:
        question: What.
        work: An empty folder for what lies between, which Spark's workers reach.
        stages: Shows progress.
        spark: Starts a session, and ends it with its block.

    Raises:
        TidemarkError: Something that cannot be read, in one line.
    """
    view, settings = question.view, question.settings
    store = connect(settings.redis_url)
    frontier = store.frontiers(project=read_active(store).project).read([view.name])[view.name]
    if frontier is None:
        raise DataError(f"parity: view {view.name} has no frontier yet; no tile is complete. See `tidemark frontier` and `tidemark jobs`")
    high = min(frontier, frontier if question.until_ms is None else question.until_ms) // view.tile_ms * view.tile_ms
    low = None if question.from_ms is None else -(-question.from_ms // view.tile_ms) * view.tile_ms
    if question.events is None:
        with stages("waiting for the archive"):
            folder = settings.home / "archive"
            archive.wait(settings, [view.source], question.schemas, folder, waiting=lambda _: None)
    else:
        folder = question.events
    with stages("starting Spark"), spark(f"tidemark parity {view.name}") as running:
        past = History(spark=running, schemas=question.schemas, events=folder, as_known=question.as_known)
        with stages("reading tiles"):
            online = online_tiles(running, settings, view, work / "topic", from_ms=low, until_ms=high)
        with stages("comparing"):
            pairs = work / "pairs"
            paired(view, online.frame, past.tiles(view, low, high)).write.parquet(to_write(pairs))
            parity = compare_pairs(view, pairs, repeats=online.repeats, examples=question.examples)
    if not parity.rows and not parity.missing.count:
        raise DataError(f"parity: view {view.name} has no tiles of these times, online or in {folder}; nothing can be compared")
    edges = (0, 0) if parity.timeline is None else (int(parity.timeline.edges_ms[0]), high)
    return ParityResult(
        parity=parity, low_ms=edges[0] if low is None else low, high_ms=high, frontier_ms=frontier, skipped=online.stage.skipped
    )


def online_tiles(
    spark: SparkSession,
    settings: Settings,
    view: ViewPlan,
    folder: Path,
    *,
    from_ms: int | None = None,
    until_ms: int | None = None,
    keys: frozenset[str] | None = None,
) -> Online:
    """The tiles in a view's topic.

    Args:
        spark: A session.
        settings: Of Kafka.
        view: Its plan.
        folder: An empty place to stage them.
        from_ms: Only tiles that start then or later.
        until_ms: Only tiles that start before.
        keys: Only tiles of these entities, as the topic's keys write them.
    """
    schema = staging.tiles_schema(view)
    stage = Staging(folder=folder, schema=schema, time=TILE_START, from_ms=from_ms, until_ms=until_ms)
    staging.tiles_of_topic(stage, settings, view, keys=keys)
    place = [F.col(f"`{column.name}`") for column in view.keys] + [F.col(TILE_START)]
    every = spark.read.parquet(to_read(folder))
    newest = Window.partitionBy(*place).orderBy(F.col(REVISION).desc(), F.col(f"`{ORDER}`").desc())
    winners = every.withColumn("#rank", F.row_number().over(newest)).where(F.col("`#rank`") == 1).drop("#rank", ORDER)
    distinct = every.select(*place, REVISION).distinct().count() if keys is None else stage.rows
    return Online(frame=winners, stage=stage, repeats=stage.rows - distinct)


def paired(view: ViewPlan, online: DataFrame, history: DataFrame) -> DataFrame:
    """Both sides of every tile: `tile_start` and the keys, then each side's columns; `online.there` and `history.there` say which has it."""
    place = [column.name for column in view.keys] + [TILE_START]
    there = F.lit(True)

    def side(frame: DataFrame, prefix: str) -> DataFrame:
        own = [F.col(f"`{column.name}`").alias(f"{prefix}{column.name}") for column in view.tile_columns]
        return frame.select(*(F.col(f"`{name}`") for name in place), there.alias(f"{prefix}there"), *own)

    return side(online, ONLINE).join(side(history, HISTORY), place, "full_outer")


def compare_pairs(view: ViewPlan, pairs: Path, *, repeats: int = 0, examples: int = EXAMPLES) -> Parity:
    """Compare what `paired` wrote, a batch in memory at a time."""
    files = [pq.ParquetFile(file) for file in parquet_files(pairs)]
    times = [(int(low), int(high)) for low, high in (_times(file) for file in files) if low is not None and high is not None]
    timeline = Timeline.empty(min(low for low, _ in times), max(high for _, high in times) + 1) if times else None
    empty = pa.table({field.name: pa.array([], type=field.type) for field in files[0].schema_arrow})
    parity = compare_tiles(view, empty, timeline=timeline, repeats=repeats, examples=examples)
    batches = (pa.Table.from_batches([batch]) for file in files for batch in file.iter_batches(batch_size=_BATCH))
    found = (compare_tiles(view, batch, timeline=timeline, examples=examples) for batch in batches)
    return reduce(lambda one, other: one.merged(other, examples), found, parity)


def compare_tiles(
    view: ViewPlan, pairs: pa.Table, *, timeline: Timeline | None = None, repeats: int = 0, examples: int = EXAMPLES
) -> Parity:
    """Compare a batch of pairs, column by column."""
    online, history = (np.asarray(pairs[f"{side}there"].is_valid()) for side in (ONLINE, HISTORY))
    starts = np.asarray(pairs[TILE_START].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()), dtype=np.int64)
    keys = [pairs[column.name].to_pylist() for column in view.keys]
    names = ["|".join(map(str, key)) for key in zip(*keys, strict=True)]

    def cases(rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]], note: str) -> Cases:
        return Cases.of((Case(at_ms=int(starts[row]), name=names[row], note=note) for row in rows), examples)

    both = np.flatnonzero(online & history)
    common = pairs.take(both)
    one, other = (
        pa.table(
            {column.name: common[f"{side}{column.name}"] for column in view.tile_columns}
            | {key.name: common[key.name] for key in view.keys}
        )
        for side in (ONLINE, HISTORY)
    )
    columns, wrong = compare_columns(
        tile_rules(view),
        one,
        other,
        names=[names[row] for row in both],
        at_ms=starts[both],
        key=[key.name for key in view.keys],
        examples=examples,
    )
    alone = np.flatnonzero(online ^ history)
    if timeline is not None:
        timeline = timeline.plus(
            equal=starts[both][~wrong], different=np.concatenate([starts[both][wrong], starts[alone]]), stale=np.empty(0, dtype=np.int64)
        )
    return Parity(
        columns=columns,
        rows=int(online.sum()),
        missing=cases(np.flatnonzero(history & ~online), "history has it, the topic has not"),
        extra=cases(np.flatnonzero(online & ~history), "the topic has it, history has not"),
        repeats=repeats,
        different_rows=int(wrong.sum()),
        timeline=timeline,
    )


def _times(file: pq.ParquetFile) -> tuple[int | None, int | None]:
    """The first and last tile start in a file."""
    low: int | None = None
    high: int | None = None
    for batch in file.iter_batches(columns=[TILE_START]):
        starts = np.asarray(batch.column(0).cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()))
        if len(starts):
            low = int(min(starts.min(), starts.min() if low is None else low))
            high = int(max(starts.max(), starts.max() if high is None else high))
    return low, high
