"""Tiles and closings → the online store, engine-free: what one batch of `jobs/materialize` is.

Records are decoded here and not by the engine: Flink's Avro format drops what it cannot read without a trace, or ends the job;
and so all views share one Python worker and one connection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.compiler.tile_schema import tile_avro_schema
from features.plan import FRONTIER_TOPIC, ViewPlan
from inference.online.frontier import Account, Frontiers, Place, changing
from inference.online.marks import Marks, Span
from inference.online.writer import TileWriter
from schemas.avro_columns import Reader, compile_reader
from schemas.avro_cursor import Column
from schemas.errors import ServiceError
from schemas.schema import Schema, SchemaSet, parse

Rows = NDArray[np.int64]

_TRIES = 20


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What became of a batch.

    Attributes:
        reasons: For each record why it goes to the dead letters, or None.
        tiles: How many tiles were written.
        closings: How many closings were taken in.
    """

    reasons: list[str | None]
    tiles: int
    closings: int


class Materializer:
    """Writes batches of raw records of the tiles topics and the frontier topic."""

    def __init__(
        self,
        *,
        views: Sequence[ViewPlan],
        writers: Mapping[str, TileWriter],
        frontiers: Frontiers,
        schemas: SchemaSet,
        marks: Marks | None = None,
    ) -> None:
        """Prepare the readers.

        Args:
            views: Whose tiles come.
            writers: By view.
            frontiers: Of the same store.
            schemas: For the closings.
            marks: Of the same store; None where records come from no topic, and nobody can tell whether the store has lost any.
        """
        self._views = {view.name: view for view in views}
        self._writers = writers
        self._frontiers = frontiers
        self._marks = marks
        self._tiles = {view.tiles_topic: (view, _Reader(schema=parse(tile_avro_schema(view), name=f"tile_{view.name}"))) for view in views}
        self._closings = ClosingReader(schemas)

    def write(self, topics: Sequence[str], bodies: Sequence[bytes | None], spans: Mapping[Place, Span] | None = None) -> Stored:
        """Write the tiles of a batch, then take in its closings; doing it again changes nothing.

        Args:
            topics: Of each record.
            bodies: The records' values.
            spans: Where they come from, for the marks.

        Raises:
            ServiceError: The store does not answer; part of the batch may be written, and may be written again.
        """
        reasons: list[str | None] = [None] * len(bodies)
        by_topic: dict[str, list[int]] = {}
        for row, (topic, body) in enumerate(zip(topics, bodies, strict=True)):
            if not body:
                reasons[row] = "tombstone: the message has no value" if body is None else "empty: the message has no bytes"
            else:
                by_topic.setdefault(topic, []).append(row)
        tiles: dict[str, pa.RecordBatch] = {}
        closings: Mapping[str, Sequence[tuple[int, int]]] = {}
        for topic, rows in by_topic.items():
            given = [bodies[row] or b"" for row in rows]
            if topic == FRONTIER_TOPIC:
                closings = self._closed(given, rows, reasons)
            else:
                view, batch = self._read(topic, given, rows, reasons)
                tiles[view.name] = batch
        self._store(tiles, closings, spans or {})
        counted = sum(batch.num_rows for batch in tiles.values())
        return Stored(reasons=reasons, tiles=counted, closings=sum(map(len, closings.values())))

    def _store(
        self, tiles: Mapping[str, pa.RecordBatch], closings: Mapping[str, Sequence[tuple[int, int]]], spans: Mapping[Place, Span]
    ) -> None:
        """Write, and account for what is written if the store is still the one that it was written to; else from the beginning."""
        offsets = {place: end for place, (_, end) in spans.items()}
        for _ in range(_TRIES):
            opened = self._frontiers.open() if self._marks is None else self._marks.open(spans)
            accounts = {view: self._writers[view].merge(batch) for view, batch in tiles.items() if batch.num_rows}
            for view, ends in closings.items():
                stored = accounts[view].stored if view in accounts else {}
                accounts[view] = Account(tile_ms=self._views[view].tile_ms, stored=stored, closings=ends)
            if not (accounts or offsets) or self._frontiers.account(opened, accounts, offsets) is not None:
                return
        raise ServiceError(changing(_TRIES))

    def _read(self, topic: str, bodies: Sequence[bytes], rows: Sequence[int], reasons: list[str | None]) -> tuple[ViewPlan, pa.RecordBatch]:
        view, reader = self._tiles[topic]
        batch, good, faults = reader.read(bodies, required=(*(key.name for key in view.keys), "tile_start", "revision"))
        starts = batch.column("tile_start").cast(pa.int64()).to_numpy()
        fit = starts % view.tile_ms == 0
        for index in np.flatnonzero(~fit).tolist():
            faults[int(good[index])] = f"wrong-tile: tile_start {starts[index]} ms is no multiple of the view's {view.tile_ms} ms"
        for partial, column in ((part, each.name) for part in view.partials for each in part.columns):
            readable = partial.well_formed(batch.column(column))
            if readable is not None:
                for index in np.flatnonzero(~readable).tolist():
                    faults[int(good[index])] = f'wrong-entries: field "{column}" is not made of {partial.kind} entries'
                fit &= readable
        _note(faults, rows, reasons)
        return view, batch if fit.all() else batch.filter(pa.array(fit))

    def _closed(self, bodies: Sequence[bytes], rows: Sequence[int], reasons: list[str | None]) -> Mapping[str, Sequence[tuple[int, int]]]:
        read, faults = self._closings.read(bodies)
        taken: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for index, name, end, tiles in read:
            if name not in self._views:
                faults[index] = f'unknown-view: "{name}"; there are {", ".join(sorted(self._views))}'
            elif end % self._views[name].tile_ms or tiles < 0:
                faults[index] = f"wrong-tile: {tiles} tiles that end at {end} ms are none of view {name}"
            else:
                taken[name].append((end, tiles))
        _note(faults, rows, reasons)
        return taken


class EndReader:
    """Reads the newest tile ends out of records."""

    def __init__(self, views: Sequence[ViewPlan], schemas: SchemaSet) -> None:
        """Prepare."""
        self._tiles = {view.tiles_topic: (view, _Reader(schema=parse(tile_avro_schema(view), name=f"tile_{view.name}"))) for view in views}
        self._closings = ClosingReader(schemas)

    def newest(self, topic: str, bodies: Sequence[bytes]) -> dict[str, int]:
        """View → the largest tile end (ms) among some records of a topic."""
        if topic == FRONTIER_TOPIC:
            ends = [(view, end) for _, view, end, _ in self._closings.read(bodies)[0]]
        else:
            view, reader = self._tiles[topic]
            batch, _, _ = reader.read(bodies, required=("tile_start",))
            starts: list[int] = batch.column("tile_start").cast(pa.int64()).to_numpy().tolist()
            ends = [(view.name, start + view.tile_ms) for start in starts]
        return dict(sorted(ends, key=lambda each: each[1]))


class ClosingReader:
    """Reads records of the frontier topic."""

    def __init__(self, schemas: SchemaSet) -> None:
        """Prepare."""
        self._reader = _Reader(schema=schemas.current("closing"))

    def read(self, bodies: Sequence[bytes]) -> tuple[list[tuple[int, str, int, int]], list[str | None]]:
        """The good ones, as (which of the bodies, view, tile end in ms, tiles), and for each body what is wrong with it."""
        batch, good, faults = self._reader.read(bodies, required=("view", "tile_end", "tiles"))
        ends, counts = (batch.column(name).cast(pa.int64()).to_numpy().tolist() for name in ("tile_end", "tiles"))
        views = [str(view) for view in batch.column("view").to_pylist()]
        return list(zip(good.tolist(), views, ends, counts, strict=True)), faults


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Plain Avro records (no header) of one schema → a record batch of the good ones."""

    schema: Schema

    @cached_property
    def _compiled(self) -> Reader:
        return compile_reader(self.schema.avro, self.schema)

    def read(self, bodies: Sequence[bytes], *, required: Sequence[str]) -> tuple[pa.RecordBatch, Rows, list[str | None]]:
        """The good records, which of the bodies they are, and for each body what is wrong with it."""
        ends = np.fromiter(accumulate(map(len, bodies)), dtype=np.int64, count=len(bodies))
        starts = ends - np.fromiter(map(len, bodies), dtype=np.int64, count=len(bodies))
        columns, faults = self._compiled.read(b"".join(bodies), starts, ends)
        for name in required:
            for row in np.flatnonzero(columns[name].nulls).tolist():
                faults[row] = faults[row] or f'missing: field "{name}" is null'
        good = np.array([row for row, fault in enumerate(faults) if fault is None], dtype=np.int64)
        arrays = [_array(columns[field.name], good, field.type.arrow) for field in self.schema.fields]
        return pa.RecordBatch.from_arrays(arrays, names=[field.name for field in self.schema.fields]), good, faults


def _array(column: Column, rows: Rows, type_: pa.DataType) -> pa.Array[Any]:
    return pa.array(column.values[rows], type=type_, mask=column.nulls[rows])


def _note(faults: Sequence[str | None], rows: Sequence[int], reasons: list[str | None]) -> None:
    for row, fault in zip(rows, faults, strict=True):
        reasons[row] = fault
