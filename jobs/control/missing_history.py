"""How much history a view lacks: days, events and tiles, counted in Parquet files without an engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.record import RECORD
from features.plan import ViewPlan
from features.versions.plan_diff import ALL_HISTORY_MS
from schemas.conform import allowed
from schemas.parquet import ParquetFile, parquet_files
from schemas.schema import Schema
from schemas.times import YEAR_1_MS, YEAR_10000_MS
from schemas.types import DataType

SAMPLED = 1_000_000
"""Events that are read to count tiles, the newest; of all others only the files' own counts are."""

_PER_MS = {"ms": 1, "us": 1_000, "ns": 1_000_000}
_WIDTHS = {DataType.INT64: 8, DataType.TIMESTAMP: 8, DataType.FLOAT64: 8, DataType.BOOLEAN: 1}


@dataclass(frozen=True, kw_only=True)
class HistorySize:
    """What a bootstrap of a view would read and make.

    Attributes:
        from_ms, until_ms: Event times, `[from, until)`.
        events: In that time, from the files' statistics and, at the edges, their times.
        sampled: How many of them were read to count tiles.
        tiles: Tiles of the events that were read, for as many events as there are.
        bytes: Of those tiles in the store, as they are packed.
        unmeasured: Tile columns whose size only an engine can tell; `bytes` is without them.
    """

    from_ms: int
    until_ms: int
    events: int
    sampled: int
    tiles: int
    bytes: int
    unmeasured: tuple[str, ...]


def measure(view: ViewPlan, lacks_ms: tuple[int, int], folder: Path, schema: Schema) -> HistorySize | None:
    """Measure.

    Args:
        view: Whose history.
        lacks_ms: From and until when, in ms before the newest event.
        folder: Parquet files of its source.
        schema: Of the source.

    Returns:
        The size; None where there are no events at all.

    Raises:
        DataError: A file is not readable, or not of this schema.
    """
    groups = sorted(_groups(view, folder, schema), key=lambda group: group.last_ms, reverse=True)
    if not groups:
        return None
    newest_ms = groups[0].last_ms + 1
    low, high = newest_ms - lacks_ms[0], newest_ms - lacks_ms[1]
    if lacks_ms[0] == ALL_HISTORY_MS:
        low = min(group.first_ms for group in groups)
    events = sampled = 0
    parts: list[pa.Table] = []
    for group in groups:
        if group.last_ms < low or group.first_ms >= high:
            continue
        whole = group.first_ms >= low and group.last_ms < high
        if whole and sampled >= SAMPLED:
            events += group.rows
            continue
        table = _within(group, folder, view, schema, low, high)
        events += len(table)
        if sampled < SAMPLED:
            parts.append(table)
            sampled += len(table)
    tiles, size, unmeasured = _tiles(view, pa.concat_tables(parts)) if parts else (0, 0.0, ())
    scale = events / sampled if sampled else 0.0
    return HistorySize(
        from_ms=low,
        until_ms=high,
        events=events,
        sampled=sampled,
        tiles=round(tiles * scale),
        bytes=round(size * scale),
        unmeasured=unmeasured,
    )


@dataclass(frozen=True, kw_only=True)
class _Group:
    """A row group of a file, and the times in it."""

    path: Path
    number: int
    rows: int
    first_ms: int
    last_ms: int


def _groups(view: ViewPlan, folder: Path, schema: Schema) -> Iterator[_Group]:
    time = next(field for field in schema.fields if field.name == view.source.event_time)
    for path in parquet_files(folder) if folder.is_dir() else ():
        file = ParquetFile.open(path, root=folder)
        file.check(schema.fields)
        for number in range(file.metadata.num_row_groups):
            known = _stated(file, time.name, number)
            if known is None:
                read = [_times(table[time.name].drop_null()) for table in file.tables([time], groups=[number], nulls=True)]
                times = np.concatenate([np.empty(0, dtype=np.int64), *read])
                times = times[(times >= YEAR_1_MS) & (times < YEAR_10000_MS)]
                known = (int(times.min()), int(times.max())) if len(times) else None
            if known is not None:
                rows = file.metadata.row_group(number).num_rows
                yield _Group(path=path, number=number, rows=rows, first_ms=known[0], last_ms=known[1])


def _stated(file: ParquetFile, name: str, group: int) -> tuple[int, int] | None:
    """The first and last time of a row group by its statistics, ms; None where they do not tell."""
    if name in file.folders or name not in file.columns.names:
        return None
    stored = file.columns.field(name).type
    if not pa.types.is_timestamp(stored) or file.metadata.schema.column(file.leaf(name)).physical_type != "INT64":
        return None
    known, per_ms = file.range_of(name, [group]), _PER_MS[stored.unit]
    if known is None or known[0] < YEAR_1_MS * per_ms or known[1] >= YEAR_10000_MS * per_ms:
        return None  # what lies beyond is refused
    return known[0] // per_ms, known[1] // per_ms


def _within(group: _Group, folder: Path, view: ViewPlan, schema: Schema, low: int, high: int) -> pa.Table:
    """The events of a group in a time, without those that are refused."""
    source = view.source
    read = ParquetFile.open(group.path, root=folder).tables(schema.fields, groups=[group.number], nulls=True)
    whole = pa.concat_tables(allowed(table, schema.fields, event_time=source.event_time, earliest_ms=source.earliest_ms) for table in read)
    times = _times(whole[view.source.event_time])
    return whole.filter(pa.array((times >= low) & (times < high)))


def _tiles(view: ViewPlan, events: pa.Table) -> tuple[int, float, tuple[str, ...]]:
    """How many tiles the events make, their bytes in the store, and the tile columns that those are without."""
    if view.where is not None:
        events = events.filter(view.where.evaluate(events))
    times = _times(events[view.source.event_time])
    keys = {f"key{number}": events[key.name] for number, key in enumerate(view.keys)}
    place = pa.table({**keys, "tile": pa.array(times // view.tile_ms)})
    tiles = place.group_by(place.column_names).aggregate([]).num_rows
    size, unmeasured = float(RECORD.size + (len(view.tile_columns) + 7) // 8), []
    for partial in view.partials:
        for column in partial.columns:
            if column.type is not DataType.STRING:
                size += _WIDTHS[column.type]
            elif (value := partial.stored(column)) is None:
                unmeasured.append(column.name)
            else:
                size += 4 + _mean_bytes(value.evaluate(events))
    return tiles, tiles * size, tuple(unmeasured)


def _mean_bytes(texts: pa.Array[Any]) -> float:
    lengths = [len(text.encode()) for text in texts.to_pylist() if text is not None]
    return float(np.mean(lengths)) if lengths else 0.0


def _times(column: pa.ChunkedArray[Any]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.asarray(column.cast(pa.int64()), dtype=np.int64)
