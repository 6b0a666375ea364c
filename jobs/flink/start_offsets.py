"""Where a features job without state begins: early enough that no tile which the online store is not complete of lacks an event.

Tiles up to the frontier are stored. The events of later ones are found in the archive by their times, and read again with all that came after
them. What is archived already has also been judged already: it goes neither to the archive nor to the dead letters or the late topic again. What
is not was read by nobody, or after the last checkpoint, and counted in tiles that may be stored by now: it has to be in time once more, or the
archive would say that it was late. So tiles are open, too, that no event in the archive could have closed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from features.plan import SourcePlan, ViewPlan
from features.watermarks import NONE
from inference.online.active_generation import read_active
from inference.online.connection import connect
from infra.settings import Settings
from jobs.kafka import admin, group_offsets
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from schemas.errors import DataError
from schemas.parquet import parquet_files
from schemas.wording import cause

PARTITION, OFFSET, ARRIVED = "_partition", "_offset", "_arrived"
"""Columns of the archive: where an event lay, and its record's time."""

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


def resumed(settings: Settings, source: SourcePlan) -> Beginning:
    """Of a job with state, which knows where to go on.

    Raises:
        DataError: The archive cannot be read.
        ServiceError: Kafka does not answer.
    """
    return Beginning(archived=_archived(settings, source))


def fresh(settings: Settings, source: SourcePlan, views: Iterable[ViewPlan]) -> Beginning:
    """Of a job without state.

    Args:
        settings: Of Kafka, the store and the archive.
        source: Which is read; its topic is there.
        views: All views of the source, also those that other jobs compute.

    Raises:
        DataError: The archive cannot be read.
        ServiceError: Kafka or the store does not answer.
    """
    last = _archived(settings, source)
    if not last:
        return Beginning()
    tiles_ms, store = {view.name: view.tile_ms for view in views}, connect(settings.redis_url)
    frontiers = store.frontiers(project=read_active(store).project).read(list(tiles_ms))
    reached = {name: (frontier, tiles_ms[name]) for name, frontier in frontiers.items()}
    extents = admin.extents(Connection.of(settings), [source.topic])[source.topic]
    return of(_folder(settings, source), source, reached, last, extents)


def of(
    folder: Path,
    source: SourcePlan,
    reached: Mapping[str, tuple[int | None, int]],
    last: Mapping[int, int],
    extents: Mapping[int, tuple[int, int]],
) -> Beginning:
    """Where the open tiles begin in an archive.

    Args:
        folder: The archive.
        source: Whose.
        reached: View of the source → up to when the store has all its tiles, and their size. Without views, what is not archived is read;
            where no view has a frontier, all that the topic holds.
        last: Partition → the last offset that is archived.
        extents: Partition → `[first, end)`, the offsets that the topic holds.

    Raises:
        DataError: The archive cannot be read.
    """
    behind = {partition: offset + 1 for partition, offset in last.items()}
    known = [frontier for frontier, _ in reached.values() if frontier is not None]
    if not known:
        return Beginning(archived=last, first={} if reached else behind)
    newest = _by_partition(folder, last, "max", source.event_time)
    # A partition of which the archive knows nothing may have held the watermark back, as may the one that is furthest behind.
    heard = all(partition in newest for partition, (first, end) in extents.items() if end > first)
    judged_ms = min(newest.values()) - source.lateness_ms + 1 if heard else NONE
    # A tile of events that the topic has lost would come short, and take the place of a whole one.
    lost = [(pc.field(PARTITION) == partition) & (pc.field(OFFSET) < first) for partition, (first, _) in extents.items() if first]
    gone = _by_partition(folder, last, "max", source.event_time, reduce(or_, lost)).values() if lost else ()
    whole_ms = max(((at_ms // tile_ms + 1) * tile_ms for at_ms in gone for _, tile_ms in reached.values()), default=NONE)
    closed_ms = min(*known, max(judged_ms, whole_ms))
    if closed_ms == NONE:
        return Beginning(archived=last)
    open_ms = min(closed_ms // tile_ms * tile_ms for _, tile_ms in reached.values())  # in a larger tile than those that were closed, too
    again = _by_partition(folder, last, "min", OFFSET, pc.field(source.event_time).cast(_TIME) >= pa.scalar(open_ms, _TIME))
    return Beginning(archived=last, first=behind | again, watermark_ms=closed_ms - 1)


def _by_partition(
    folder: Path, last: Mapping[int, int], which: Literal["min", "max"], column: str, wanted: pc.Expression | None = None
) -> dict[int, int]:
    """Partition that counts → the least or greatest of a column of its events; times as ms since the epoch."""
    further = min if which == "min" else max
    found: dict[int, int] = {}
    for rows in _rows(folder, [PARTITION, column], wanted):
        if column != OFFSET:
            rows = rows.set_column(1, column, rows[column].cast(_TIME).cast(pa.int64()))
        for row in rows.group_by(PARTITION).aggregate([(column, which)]).to_pylist():
            partition, value = int(row[PARTITION]), int(row[f"{column}_{which}"])
            if partition in last:
                found[partition] = further(found.get(partition, value), value)
    return found


def last_of(folder: Path) -> dict[int, tuple[int, frozenset[int]]]:
    """Partition → the last offset that the archive of a source holds, and the times, ms, of the records that lay there.

    Raises:
        DataError: The archive cannot be read.
    """
    found: dict[int, tuple[int, frozenset[int]]] = {}
    for rows in _rows(folder, [PARTITION, OFFSET, ARRIVED]):
        for row in rows.group_by(PARTITION).aggregate([(OFFSET, "max")]).to_pylist():
            partition, offset = int(row[PARTITION]), int(row[f"{OFFSET}_max"])
            known, times = found.get(partition, (-1, frozenset[int]()))
            if offset >= known:
                there = rows.filter((pc.field(PARTITION) == partition) & (pc.field(OFFSET) == offset))[ARRIVED].to_pylist()
                told = frozenset(int(time) for time in there if time is not None)
                found[partition] = (offset, told | times if offset == known else told)
    return found


def _archived(settings: Settings, source: SourcePlan) -> dict[int, int]:
    """Partition → the last offset that is archived; without partitions that hold another record there: their topic is a new one."""
    folder = _folder(settings, source)
    known = last_of(folder)
    if not known:
        return {}
    extents = admin.extents(Connection.of(settings), [source.topic])[source.topic]
    last = {partition: offset for partition, (offset, _) in known.items() if offset < extents.get(partition, (0, 0))[1]}
    open_ = {partition for partition, offset in last.items() if offset >= extents[partition][0]}  # still there, so it can be looked at
    start = {partition: last[partition] if partition in open_ else end for partition, (_, end) in extents.items()}
    for message in messages(Connection.of(settings), source.topic, start=start) if open_ else ():
        partition = message.partition()
        if partition in open_:
            open_.discard(partition)
            if message.offset() == last[partition] and message.timestamp()[1] not in known[partition][1]:
                del last[partition]
        if not open_:
            break
    if others := sorted(known.keys() - last.keys()):
        logging.getLogger("tidemark").warning(
            "archive %s: what it holds of partitions %s is of another topic than this %s, which is read from its beginning",
            folder,
            ", ".join(map(str, others)),
            source.topic,
        )
    return last


def commit(settings: Settings, source: SourcePlan, group: str, beginning: Beginning) -> None:
    """Let a consumer group begin there. Raises ServiceError when Kafka does not answer."""
    kafka = Connection.of(settings)
    extents = admin.extents(kafka, [source.topic])[source.topic]
    group_offsets.commit(
        kafka, group, source.topic, {number: max(first, beginning.first.get(number, first)) for number, (first, _) in extents.items()}
    )


def _folder(settings: Settings, source: SourcePlan) -> Path:
    return settings.home / "archive" / source.name


def _rows(folder: Path, columns: list[str], wanted: pc.Expression | None = None) -> Iterator[pa.Table]:
    """The archive piece by piece: in memory it would grow with all that has ever come."""
    files = [str(path) for path in parquet_files(folder)] if folder.is_dir() else []
    if not files:
        return
    try:
        for batch in ds.dataset(files, format="parquet").scanner(columns=columns, filter=wanted).to_batches():
            if batch.num_rows:
                yield pa.Table.from_batches([batch])
    except (OSError, ValueError) as fault:
        raise DataError(f"archive {folder}: cannot be read: {cause(fault)}") from fault
