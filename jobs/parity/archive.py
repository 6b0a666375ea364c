"""Whether the archive holds all that the stream has counted: its files become visible with each checkpoint, some seconds after the tiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from features.plan import SourcePlan
from infra.settings import Settings
from jobs.flink.start_offsets import OFFSET, PARTITION
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.decoding import decoder
from jobs.kafka.reader import Message
from schemas.errors import ServiceError
from schemas.parquet import parquet_files
from schemas.schema import SchemaSet
from schemas.wire import OK

_POLL_S = 0.5
_GRACE_S = 60.0


def wait(settings: Settings, sources: Iterable[SourcePlan], schemas: SchemaSet, folder: Path, *, waiting: Callable[[str], None]) -> None:
    """Return once every event that the topics of the sources hold now is in the archive.

    What was read of predictions, tiles and frontiers before the call was made of no other events.

    Args:
        settings: Of Kafka, and how often checkpoints are made.
        sources: Whose events.
        schemas: Theirs.
        folder: The archive.
        waiting: Told once for each source that has to be waited for.

    Raises:
        ServiceError: Kafka does not answer, or the archive does not get there within some checkpoints.
    """
    read: dict[Path, Mapping[int, int]] = {}
    needed = {source.name: _unarchived(settings, source, schemas, archived(folder / source.name, read)) for source in sources}
    deadline = time.monotonic() + 3 * settings.checkpoint_interval_ms / 1000 + _GRACE_S
    for name, last in needed.items():
        told = False
        while lacking := _lacking(last, archived(folder / name, read)):
            if not told:
                waiting(name)
                told = True
            if time.monotonic() >= deadline:
                raise ServiceError(
                    f"parity: the archive {folder / name} has not all events of its topic yet: {lacking} of its partitions are behind; "
                    "files become visible at each checkpoint of the features job: see `tidemark jobs`, or say --until"
                )
            time.sleep(_POLL_S)


def archived(folder: Path, read: dict[Path, Mapping[int, int]]) -> dict[int, int]:
    """Partition → the last offset that the archive of a source holds.

    Args:
        folder: Of the source.
        read: The same of each file that was read before: none changes once it is visible. Those that are read now are added.
    """
    files = parquet_files(folder) if folder.is_dir() else ()
    for path in files:
        if path not in read:
            last = pq.read_table(path, columns=[PARTITION, OFFSET], partitioning=None).group_by(PARTITION).aggregate([(OFFSET, "max")])
            read[path] = {row[PARTITION]: row[f"{OFFSET}_max"] for row in last.to_pylist()}
    found: dict[int, int] = {}
    for path in files:
        for partition, offset in read[path].items():
            found[partition] = max(offset, found.get(partition, -1))
    return found


def _lacking(last: Mapping[int, int], known: Mapping[int, int]) -> int:
    """How many partitions are behind."""
    return sum(offset > known.get(partition, -1) for partition, offset in last.items())


def _unarchived(settings: Settings, source: SourcePlan, schemas: SchemaSet, known: Mapping[int, int]) -> dict[int, int]:
    """Partition → the last offset of an event behind those that are archived; markers and refused records never get there."""
    decode = decoder(source, schemas, settings).decode
    last: dict[int, int] = {}
    tail = messages(Connection.of(settings), source.topic, start={partition: offset + 1 for partition, offset in known.items()})
    while batch := list(islice(tail, 5_000)):
        kind = decode([message.value() for message in batch]).kind
        for row in np.flatnonzero(kind == OK).tolist():
            partition, offset = _place(batch[row])
            last[partition] = max(offset, last.get(partition, -1))
    return last


def _place(message: Message) -> tuple[int, int]:
    return message.partition() or 0, message.offset() or 0
