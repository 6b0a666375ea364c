"""Reads features online: every request as of its own event time, many requests in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.column import Column
from features.columns.values import Int64s, Values
from features.kernel.needed import lacking
from features.plan import ServicePlan, ViewPlan
from features.tiles.codec import ALL_TIME, TileCodec, kept_from_ms
from features.tiles.packed_fold import PackedFolds
from features.window import NEVER_MS, boundary_ms, complete_ms
from inference.gc_paused import gc_paused
from inference.online.active_generation import ActiveGeneration
from inference.online.frontier import Completeness
from inference.online.served import Served
from inference.online.store import OnlineStore, Snapshot
from schemas.errors import DataError
from schemas.types import DataType

NO_FRONTIER_AGE_MS = ALL_TIME[1]

_TRIES = 20
_NOTHING = Snapshot(completeness={}, forgets=False, tiles=(), active=None, steady=True)


class OnlineReader:
    """Reads one service's features. Not for use by several threads at once."""

    def __init__(self, service: ServicePlan, store: OnlineStore, *, project: str | None = None) -> None:
        """Prepare the constant parts.

        Args:
            service: Whose features.
            store: Where they are, from `connect`.
            project: Feast's project, the generation that is read; None: what is served, batch by batch.
        """
        self.service = service
        self._follows = project is None
        self._record: bytes | None = None
        self._project = project or ActiveGeneration().project
        entities: dict[tuple[Column, ...], list[ViewPlan]] = {}
        for view in service.views:
            entities.setdefault(view.keys, []).append(view)
        self._entities = list(entities.items())
        views = [view for group in entities.values() for view in group]
        self._views = views
        self._folds = PackedFolds([TileCodec(view=view) for view in views])
        self._folds.prepare()
        self._tile_ms = np.array([view.tile_ms for view in views], dtype=np.int64).reshape(-1, 1)
        self._delay_ms = np.array([view.delay_ms for view in views], dtype=np.int64).reshape(-1, 1)
        self._known: Mapping[str, Completeness] | None = None  # of which the following is
        self._complete_ms, self._unknown = np.empty((0, 1), dtype=np.int64), list[int]()
        self._reads = store.tile_reads(list(entities.values()))
        self._cold = False  # whether cold tiles are asked for too: as long as requests need them

    @gc_paused()
    def read(self, requests: pa.Table | pa.RecordBatch) -> Served:
        """Features of every request as of its event time, in the order of the requests.

        Raises:
            DataError: A request has no event time, or a stored value is damaged.
            ServiceError: The store does not answer.
        """
        as_of = requests.column(self.service.request.event_time)
        if as_of.null_count:
            raise DataError(
                f"service {self.service.name!r}: a request without {self.service.request.event_time!r} cannot be served as of a time"
            )
        as_of_ms = _milliseconds(as_of)
        served, reaches = self._read(requests, as_of_ms, cold=self._cold)
        if reaches and not self._cold:
            served, reaches = self._read(requests, as_of_ms, cold=True)
        self._cold = reaches
        return served

    def _read(self, requests: pa.Table | pa.RecordBatch, as_of_ms: Int64s, *, cold: bool) -> tuple[Served, bool]:
        """All in one round trip, with or without cold tiles; and whether a window reaches back to those."""
        owners = [_distinct(requests, keys) for keys, _ in self._entities]
        found = self._snapshot([entities for _, entities in owners], cold=cold) if self.service.views else _NOTHING
        boundary, behind = self._boundaries(as_of_ms, found)
        of_each = [(owner, tiles) for (owner, _), stored in zip(owners, found.tiles, strict=True) for tiles in stored]
        packed = [tiles.whole(codec) for codec, (_, tiles) in zip(self._folds.codecs, of_each, strict=True)]
        folded = self._folds(packed, owners=[owner for owner, _ in of_each], boundaries=boundary)
        age = behind.max(axis=0, initial=0)
        stale, reaches = age > 0, False
        for view, part, (owner, tiles) in zip(self._views, folded, of_each, strict=True):
            stale |= part.lacking
            since = found.completeness[view.name].since_ms
            if since is not None:
                stale |= True if view.has_lifetime else part.begin_ms < since
            if found.forgets:
                stale |= part.unseen & (owner >= 0)
            if not view.has_lifetime:
                newest = lacking([part.small_ms], owner, [kept_from_ms(tiles.recent)]) if cold else part.lacking_small
                reaches |= bool(newest.any())
        by_name = {view.name: part for view, part in zip(self._views, folded, strict=True)}
        served = Served(
            service=self.service,
            requests=requests,
            by_view={view.name: by_name[view.name].values for view in self.service.views},
            frontier_ms=_least([each.frontier_ms for each in found.completeness.values()]),
            stale=stale,
            stale_age_ms=age,
            unseen={name: part.unseen for name, part in by_name.items()},
            tiles={name: part.tiles for name, part in by_name.items()},
        )
        return served, reaches

    def _snapshot(self, entities: Sequence[Sequence[tuple[Any, ...]]], *, cold: bool) -> Snapshot:
        """Completeness and tiles, all of one generation and of one incarnation of it. Where it never stays the same, nothing counts as complete."""
        for _ in range(_TRIES):
            found = self._reads.read(self._project, entities, cold=cold)
            if self._follows and found.active != self._record:
                self._project = ActiveGeneration.of(found.active).project
                self._record = found.active
            elif found.steady:
                return found
        unknown = Completeness(frontier_ms=None, since_ms=None)
        return replace(found, completeness=dict.fromkeys(found.completeness, unknown), forgets=False)

    def _boundaries(self, as_of_ms: Int64s, found: Snapshot) -> tuple[Int64s, Int64s]:
        """int64[views, rows]: the end of every row's windows that can be served, and how far that lies behind what was asked for."""
        if found.completeness is not self._known:
            self._known = found.completeness
            frontiers = [found.completeness[view.name].frontier_ms for view in self._views]
            known = np.array([NEVER_MS if each is None else each for each in frontiers], dtype=np.int64).reshape(-1, 1)
            self._complete_ms = complete_ms(np.full_like(known, ALL_TIME[1]), known, tile_ms=self._tile_ms)
            self._unknown = [number for number, each in enumerate(frontiers) if each is None]
        wanted = boundary_ms(as_of_ms, delay_ms=self._delay_ms, tile_ms=self._tile_ms)
        boundary = np.minimum(wanted, self._complete_ms)
        behind = wanted - boundary
        if self._unknown:
            boundary[self._unknown], behind[self._unknown] = ALL_TIME[0], NO_FRONTIER_AGE_MS
        return boundary, behind


def _distinct(requests: pa.Table | pa.RecordBatch, keys: Sequence[Column]) -> tuple[Int64s, list[tuple[Any, ...]]]:
    """The distinct entities of the requests, and which of them each row asks for; −1 where a key is null."""
    columns = [requests.column(key.name) for key in keys]
    rows = list(zip(*map(_python, columns), strict=True))
    if len(seen := dict.fromkeys(rows)) == len(rows) and not any(column.null_count for column in columns):
        return np.arange(len(rows), dtype=np.int64), rows
    numbers = {values: number for number, values in enumerate(values for values in seen if None not in values)}
    return np.array([numbers.get(values, -1) for values in rows], dtype=np.int64), list(numbers)


def _milliseconds(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> Int64s:
    """Times without nulls, ms since the epoch; as `Values.of`, several times faster."""
    if column.type != DataType.TIMESTAMP.arrow:
        return Values.of(column, DataType.TIMESTAMP).numbers
    times = column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
    return times.view(np.int64)


def _python(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> list[Any]:
    """As `to_pylist`, several times faster."""
    if column.null_count and pa.types.is_integer(column.type):
        return column.to_pylist()  # numpy would make doubles of them
    values: list[Any] = (column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)).tolist()
    return values


def _least(frontiers: Sequence[int | None]) -> int | None:
    known = [frontier for frontier in frontiers if frontier is not None]
    return min(known) if known and len(known) == len(frontiers) else None
