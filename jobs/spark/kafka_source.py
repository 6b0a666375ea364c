"""History from Kafka, `--events kafka`: the sources' topics, read once by Spark's workers into Parquet files that the backfill then reads like any.

The offsets where topics begin and end are taken at the start. The copy lies in the backfill's own folder, so that a run that is continued, however
much later, computes from the same events.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import Row, SparkSession

from features.plan import SourcePlan
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.slices import Slice
from jobs.spark.daily_output import MADE_OF, STATE, locked, write_json, writing
from jobs.spark.kafka_partition_reader import TopicReader
from jobs.spark.relation import at_once
from schemas.errors import SettingError
from schemas.schema import SchemaSet
from schemas.wording import quantity

_EVENTS, _READING, _TOPICS = "events", "reading", "topics.json"
_ANSWER_S = 10.0
_SLICES_PER_CORE = 2
_FEWEST, _MOST = 20_000, 1_000_000
_READ_SQL = "slice BIGINT, file STRING, records BIGINT, rows BIGINT, markers BIGINT, refused STRING, sha256 STRING"


@dataclass(kw_only=True)
class TopicTally:
    """What was read of a source's topic.

    Attributes:
        source, topic: Their names.
        offsets: Partition → where it began and ended, `[first, end)`.
        records: Messages read.
        rows: Events kept.
        markers: Messages that only tell the time.
        refused: Why → messages.
    """

    source: str
    topic: str
    offsets: dict[str, list[int]]
    records: int = 0
    rows: int = 0
    markers: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def add(self, records: int, rows: int, markers: int, refused: Mapping[str, int]) -> None:
        """Count what a slice held."""
        self.records, self.rows, self.markers = self.records + records, self.rows + rows, self.markers + markers
        for why, count in refused.items():
            self.refused[why] = self.refused.get(why, 0) + count

    def __str__(self) -> str:
        """One line for the user."""
        said = f"{self.source}: {quantity(self.records, 'record')} of topic {self.topic}"
        if self.markers:
            said += f", {self.markers:,} of them markers"
        if self.refused:
            why = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(self.refused.items()))
            said += f", {sum(self.refused.values()):,} refused ({why})"
        return said


@dataclass(frozen=True, kw_only=True)
class TopicHistory:
    """The copy.

    Attributes:
        folder: With one folder of Parquet files per source.
        read_at: When.
        tallies: Of each topic.
    """

    folder: Path
    read_at: str
    tallies: tuple[TopicTally, ...]

    def lines(self) -> list[str]:
        """For the user."""
        known = (
            f"kafka: topics as they were at {self.read_at}; all events count, as with --as-known: only the archive tells which were late"
        )
        return [*map(str, self.tallies), known]


@contextmanager
def copied(
    spark: SparkSession, out: Path, sources: Iterable[SourcePlan], schemas: SchemaSet, settings: Settings, *, overwrite: bool = False
) -> Iterator[TopicHistory]:
    """The events of the sources' topics as files in a backfill's folder: those of the run that began it, or read now.

    Args:
        spark: The session.
        out: The backfill's folder.
        sources: Whose topics.
        schemas: Of the sources.
        settings: The broker, the registry and the gate's limits.
        overwrite: Read anew.

    Raises:
        SettingError: There is no such topic; or the folder was begun with other inputs, cannot be written, or is being written.
        ServiceError: Kafka or the registry does not answer.
    """
    state = out.absolute() / STATE
    wanted = {source.name: source for source in sources}
    with locked(out, state / f"{_EVENTS}.lock"):
        if overwrite or not (state / _EVENTS).exists():
            if not overwrite and (state / MADE_OF).exists():
                raise SettingError(f"--out: {out} was begun with other inputs; name another folder, or begin anew with --overwrite")
            _copy(spark, state, wanted, schemas, settings)
        with writing(out):
            found = _found(state / _EVENTS)
        if missing := wanted.keys() - {tally.source for tally in found.tallies}:
            lacks = ", ".join(sorted(missing))
            raise SettingError(f"--out: {out} was begun without {lacks}; name another folder, or begin anew with --overwrite")
        yield found


def _found(folder: Path) -> TopicHistory:
    said = json.loads((folder / _TOPICS).read_text())
    return TopicHistory(folder=folder, read_at=said["made_at"], tallies=tuple(TopicTally(**tally) for tally in said["topics"]))


def _copy(spark: SparkSession, state: Path, sources: Mapping[str, SourcePlan], schemas: SchemaSet, settings: Settings) -> None:
    """Read the topics; the folder appears, or is replaced, when all of them are in it."""
    out, reading, fresh = state.parent, state / _READING, state / f"{_EVENTS}.new"
    with writing(out):
        for folder in (reading, fresh):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)
        for name in sources:
            (fresh / name).mkdir()
    extents = admin.extents(Connection.of(settings), [source.topic for source in sources.values()])
    slices = _slices(sources.values(), extents, spark.sparkContext.defaultParallelism)
    tallies = {
        name: TopicTally(
            source=name, topic=source.topic, offsets={str(partition): list(extent) for partition, extent in extents[source.topic].items()}
        )
        for name, source in sources.items()
    }
    reader = TopicReader(slices=slices, sources=sources, schemas=schemas, settings=settings.without_secrets(), folder=str(reading))
    for told in _read(spark, reader):
        piece = slices[told.slice]
        tallies[piece.source].add(told.records, told.rows, told.markers, json.loads(told.refused))
        if told.file is not None:
            with writing(out):
                (reading / told.file).replace(fresh / piece.source / f"{piece.partition:05}-{piece.first:019}.parquet")
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    with writing(out):
        write_json(fresh / _TOPICS, {"made_at": made_at, "topics": [asdict(tally) for tally in tallies.values()]})
        shutil.rmtree(state / _EVENTS, ignore_errors=True)
        fresh.replace(state / _EVENTS)
    shutil.rmtree(reading, ignore_errors=True)  # with what attempts have left of which nobody was told


def _read(spark: SparkSession, reader: TopicReader) -> Iterator[Row]:
    count = len(reader.slices)
    if not count:
        return iter(())
    return at_once(spark.range(0, count, 1, count).mapInArrow(reader.read, _READ_SQL))


def _slices(sources: Iterable[SourcePlan], extents: Mapping[str, Mapping[int, tuple[int, int]]], cores: int) -> tuple[Slice, ...]:
    """Partitions cut so that all cores have work, and no task lasts long."""
    whole = [
        Slice(source=source.name, topic=source.topic, partition=partition, first=first, end=end)
        for source in sources
        for partition, (first, end) in extents[source.topic].items()
    ]
    total = sum(piece.end - piece.first for piece in whole)
    size = min(max(_FEWEST, -(-total // (_SLICES_PER_CORE * cores))), _MOST)
    return tuple(
        replace(piece, first=first, end=min(first + size, piece.end)) for piece in whole for first in range(piece.first, piece.end, size)
    )
