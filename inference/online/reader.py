"""Reads features online: every request as of its own event time, many requests in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.column import Column
from features.columns.values import Bools, Int64s, Values
from features.kernel.fold import fold_counting
from features.plan import ServicePlan, ViewPlan
from features.tiles.codec import ALL_TIME, Packed, TileCodec, Unpacked, kept_from_ms
from inference.gc_paused import gc_paused
from inference.online.active_generation import ActiveGeneration
from inference.online.frontier import Completeness
from inference.online.store import OnlineStore, Snapshot
from schemas.errors import DataError
from schemas.types import DataType

NO_FRONTIER_AGE_MS = ALL_TIME[1]

_TRIES = 20
_NOTHING = Snapshot(completeness={}, forgets=False, tiles=(), active=None, steady=True)


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a batch of requests was served.

    Attributes:
        table: The request's columns, then the features in the service's order (one that has the name of a request column
            takes its place), then `frontier` (UTC ms: the least of the service's views; null before the first closing)
            and `stale`.
        stale_age_ms: int64[rows], how far the oldest view's newest complete tiles lie behind the boundary that was asked for:
            0 for an exact read, int64's maximum where a view has no frontier yet.
        unseen: View → bool[rows], whether the entity was never seen by it; a null key never is.
        tiles: View → int64[rows], the tiles in the view's longest window; a seen entity with none has an empty window.
    """

    table: pa.Table
    stale_age_ms: Int64s
    unseen: Mapping[str, Bools]
    tiles: Mapping[str, Int64s]


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
        self._codecs = {view.name: TileCodec(view=view) for view in service.views}
        entities: dict[tuple[Column, ...], list[ViewPlan]] = {}
        for view in service.views:
            entities.setdefault(view.keys, []).append(view)
        self._entities = list(entities.items())
        self._reads = store.tile_reads(list(entities.values()))
        self._cold = False  # whether cold tiles are asked for too: as long as requests need them

    @gc_paused()
    def read(self, requests: pa.Table | pa.RecordBatch) -> Served:
        """Features of every request as of its event time, in the order of the requests.

        Raises:
            DataError: A request has no event time, or a stored value is damaged.
            ServiceError: The store does not answer.
        """
        as_of = Values.of(requests.column(self.service.request.event_time), DataType.TIMESTAMP)
        if as_of.valid is not None:
            raise DataError(
                f"service {self.service.name!r}: a request without {self.service.request.event_time!r} cannot be served as of a time"
            )
        served, reaches = self._read(requests, as_of.numbers, cold=self._cold)
        if reaches and not self._cold:
            served, reaches = self._read(requests, as_of.numbers, cold=True)
        self._cold = reaches
        return served

    def _read(self, requests: pa.Table | pa.RecordBatch, as_of_ms: Int64s, *, cold: bool) -> tuple[Served, bool]:
        """All in one round trip, with or without cold tiles; and whether a window reaches back to those."""
        rows, reaches = requests.num_rows, False
        owners = [_distinct(requests, keys) for keys, _ in self._entities]
        found = self._snapshot([entities for _, entities in owners], cold=cold) if self.service.views else _NOTHING
        stale, age = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.int64)
        features: dict[str, pa.Array[Any]] = {}
        unseen, tiles = {}, {}
        for (_, views), (owner, _), stored in zip(self._entities, owners, found.tiles, strict=True):
            for view, packed in zip(views, stored, strict=True):
                complete = found.completeness[view.name]
                every = packed.whole(self._codecs[view.name])
                boundary, behind = _served_boundary(view, as_of_ms, complete.frontier_ms)
                read, window = self._unpack(view, every, boundary)
                columns, tiles[view.name] = fold_counting(view, read.tiles, owner=owner, boundary_ms=boundary)
                features |= columns
                unseen[view.name] = np.array([value is None for value in [*packed.recent, None]], dtype=np.bool_)[owner]
                stale |= (behind > 0) | _before(window, read.kept_from_ms, owner) | np.append(read.inexact, False)[owner]
                if complete.since_ms is not None:
                    stale |= True if view.has_lifetime else window < complete.since_ms
                if found.forgets:
                    stale |= unseen[view.name] & (owner >= 0)
                newest_from = kept_from_ms(packed.recent) if cold else read.kept_from_ms
                reaches |= not view.has_lifetime and bool(_before(window, newest_from, owner).any())
                age = np.maximum(age, behind)
        table = self._table(requests, features, _least([each.frontier_ms for each in found.completeness.values()]), stale)
        return Served(table=table, stale_age_ms=age, unseen=unseen, tiles=tiles), reaches

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

    def _unpack(self, view: ViewPlan, packed: Sequence[Packed | None], boundary: Int64s) -> tuple[Unpacked, Int64s]:
        """The tiles that any row can need, and where each row's longest window begins."""
        begin = np.maximum(boundary, ALL_TIME[0] + view.longest_window_ms) - view.longest_window_ms
        since, before = (int(begin.min()), int(boundary.max())) if len(boundary) else (0, 0)
        if view.has_lifetime:
            since = ALL_TIME[0]
        return self._codecs[view.name].unpack(packed, since_ms=since, before_ms=before), begin

    def _table(
        self, requests: pa.Table | pa.RecordBatch, features: Mapping[str, pa.Array[Any]], frontier: int | None, stale: Bools
    ) -> pa.Table:
        columns: dict[str, Any] = {name: requests.column(name) for name in requests.schema.names}
        for feature in self.service.request_features:
            columns[feature.name] = feature.expression.evaluate(requests)
        for view in self.service.views:
            columns |= {feature.name: features[feature.name] for feature in view.features}
        for derived in self.service.derived:
            columns[derived.name] = derived.evaluate(columns)
        columns["frontier"] = pa.array([frontier] * requests.num_rows, type=DataType.TIMESTAMP.arrow)
        columns["stale"] = pa.array(stale)
        return pa.table(columns)


def _distinct(requests: pa.Table | pa.RecordBatch, keys: Sequence[Column]) -> tuple[Int64s, list[tuple[Any, ...]]]:
    """The distinct entities of the requests, and which of them each row asks for; −1 where a key is null."""
    seen: dict[tuple[Any, ...], int] = {}
    rows = zip(*(_python(requests.column(key.name)) for key in keys), strict=True)
    owner = [-1 if None in values else seen.setdefault(values, len(seen)) for values in rows]
    return np.array(owner, dtype=np.int64), list(seen)


def _python(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> list[Any]:
    """As `to_pylist`, several times faster."""
    if pa.types.is_integer(column.type) and column.null_count:
        return column.to_pylist()  # numpy would make doubles of them
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
    return values


def _before(begin_ms: Int64s, first_ms: Int64s, owner: Int64s) -> Bools:
    """bool[rows], whether windows begin before the tiles that their owners have kept; −1 owns none and has lost none."""
    return np.asarray(begin_ms < np.append(first_ms, ALL_TIME[0])[owner], dtype=np.bool_)


def _served_boundary(view: ViewPlan, as_of_ms: Int64s, frontier: int | None) -> tuple[Int64s, Int64s]:
    """The end of every row's windows that can be served, and how far that lies behind what was asked for."""
    wanted = view.boundary_ms(as_of_ms)
    if frontier is None:
        return np.full_like(wanted, ALL_TIME[0]), np.full_like(wanted, NO_FRONTIER_AGE_MS)
    boundary = view.complete_ms(wanted, frontier)
    return boundary, wanted - boundary


def _least(frontiers: Sequence[int | None]) -> int | None:
    known = [frontier for frontier in frontiers if frontier is not None]
    return min(known) if known and len(known) == len(frontiers) else None
