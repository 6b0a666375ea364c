"""Where a features job without state begins: early enough that no tile which the online store is not complete of lacks an event.

Tiles up to the frontier are stored. The events of later ones are found in the archive by their times, and read again with all that came after
them. What is archived already has also been judged already: it goes neither to the archive nor to the dead letters or the late topic again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from confluent_kafka import Consumer, KafkaException, TopicPartition

from features.compiler.plan import SourcePlan, ViewPlan
from features.watermarks import NONE
from inference.online.connection import connect
from inference.online.frontier import Frontiers
from inference.online.serving import served
from infra.settings import Settings
from jobs import topics
from jobs.history import parquet_files
from schemas.errors import DataError, ServiceError

PARTITION, OFFSET = "_partition", "_offset"
"""Columns of the archive: where an event lay."""

_ANSWER_S = 10.0
_TIME = pa.timestamp("ms", tz="UTC")


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Of one source.

    Attributes:
        archived: Partition → the last offset that the archive holds.
        first: Partition → the offset to begin with; of a partition that is not there, the oldest record.
        watermark_ms: Event time has come at least this far; `NONE` where nothing is known.
    """

    archived: Mapping[int, int] = field(default_factory=dict)
    first: Mapping[int, int] = field(default_factory=dict)
    watermark_ms: int = NONE


def archived(folder: Path) -> dict[int, int]:
    """Partition → the last offset that the archive of a source holds. Raises DataError where a file cannot be read."""
    return _offsets(folder, "max")


def resumed(settings: Settings, source: SourcePlan) -> Beginning:
    """Of a job with state, which knows where to go on. Raises DataError where the archive cannot be read."""
    return Beginning(archived=archived(_archive(settings, source)))


def fresh(settings: Settings, source: SourcePlan, views: Iterable[ViewPlan]) -> Beginning:
    """Of a job without state.

    Args:
        settings: Of the store and the archive.
        source: Which is read.
        views: All views of the source, also those that other jobs compute.

    Raises:
        DataError: The archive cannot be read.
        ServiceError: The store does not answer.
    """
    folder, names = _archive(settings, source), [view.name for view in views]
    if not archived(folder):
        return Beginning()
    client = connect(settings.redis_url)
    return of(folder, source.event_time, Frontiers(client, project=served(client).project).read(names))


def of(folder: Path, event_time: str, frontiers: Mapping[str, int | None]) -> Beginning:
    """Where the open tiles begin in an archive.

    Args:
        folder: The archive of a source.
        event_time: The field of its events' times.
        frontiers: View of the source → up to when the store has all its tiles. Without views, what is not archived is read; where no view
            has a frontier, all that the topic holds.

    Raises:
        DataError: The archive cannot be read.
    """
    last = archived(folder)
    behind = {partition: offset + 1 for partition, offset in last.items()}
    known = [frontier for frontier in frontiers.values() if frontier is not None]
    if not known:
        return Beginning(archived=last, first={} if frontiers else behind)
    open_ms = min(known)
    return Beginning(archived=last, first=behind | _offsets(folder, "min", event_time, open_ms), watermark_ms=open_ms - 1)


def commit(settings: Settings, source: SourcePlan, group: str, beginning: Beginning) -> None:
    """Let a consumer group begin there. Raises ServiceError when Kafka does not answer."""
    extents = topics.extents(settings.kafka_servers, [source.topic])[source.topic]
    places = [
        TopicPartition(source.topic, number, max(first, beginning.first.get(number, first))) for number, (first, _) in extents.items()
    ]
    consumer = Consumer({"bootstrap.servers": settings.kafka_servers, "group.id": group, "enable.auto.commit": False, "log_level": 0})
    try:
        consumer.list_topics(source.topic, timeout=_ANSWER_S)
        consumer.commit(offsets=places, asynchronous=False)
    except KafkaException as fault:
        raise ServiceError(
            f"kafka {settings.kafka_servers}: does not let group {group} begin with source {source.name}: {fault.args[0].str()}; "
            "see `tidemark status`"
        ) from fault
    finally:
        consumer.close()


def _archive(settings: Settings, source: SourcePlan) -> Path:
    return settings.home / "archive" / source.name


def _offsets(folder: Path, which: Literal["min", "max"], time: str | None = None, since_ms: int = 0) -> dict[int, int]:
    """Partition → the least or greatest offset, of all events or of those not before a time."""
    files = [str(path) for path in parquet_files(folder)] if folder.is_dir() else []
    if not files:
        return {}
    wanted = None if time is None else pc.field(time).cast(_TIME) >= pa.scalar(since_ms, _TIME)
    try:
        rows = ds.dataset(files, format="parquet").scanner(columns=[PARTITION, OFFSET], filter=wanted).to_table()
    except (OSError, ValueError) as fault:
        raise DataError(f"archive {folder}: cannot be read: {fault}") from fault
    found = rows.group_by(PARTITION).aggregate([(OFFSET, which)])
    return {int(row[PARTITION]): int(row[f"{OFFSET}_{which}"]) for row in found.to_pylist()}
