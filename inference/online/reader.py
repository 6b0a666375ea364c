"""Reads features online: every request as of its own event time, many requests in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.column import Column
from features.columns.values import Bools, Int64s, Values
from features.kernel.fold import fold_counting
from features.plan import ServicePlan, ViewPlan
from features.tiles.codec import ALL_TIME, Packed, TileCodec, Unpacked, kept_from_ms
from inference.gc_paused import gc_paused
from inference.online.active_generation import FIELD, KEY, ActiveGeneration
from inference.online.cold_tiles import all_fields, joined
from inference.online.connection import Client, hmget_many
from inference.online.layout import (
    FORGETS,
    INCARNATION,
    EntityKeys,
    frontier_fields,
    frontier_key,
    int64_of,
    packed_of,
    serving_field,
    since_fields,
    tiles_fields,
)
from schemas.errors import DataError
from schemas.types import DataType

NO_FRONTIER_AGE_MS = ALL_TIME[1]

_TRIES = 20


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

    def __init__(self, service: ServicePlan, client: Client, *, project: str | None = None) -> None:
        """Prepare the constant parts.

        Args:
            service: Whose features.
            client: From `connect`.
            project: Feast's project, a part of every key; None: of what is served, batch by batch.
        """
        self.service = service
        self._client = client
        self._follows = project is None
        self._record: bytes | None = None
        views = [view.name for view in service.views]
        self._complete_fields = [*(fields(view)[0] for fields in (frontier_fields, since_fields) for view in views), FORGETS, INCARNATION]
        self._codecs = {view.name: TileCodec(view=view) for view in service.views}
        entities: dict[tuple[Column, ...], list[ViewPlan]] = {}
        for view in service.views:
            entities.setdefault(view.keys, []).append(view)
        self._entities = list(entities.items())
        self._older = False  # whether older tiles are asked for too: as long as requests need them
        self._read_from(project or ActiveGeneration().project)

    @gc_paused()
    def read(self, requests: pa.Table | pa.RecordBatch) -> Served:
        """Features of every request as of its event time, in the order of the requests.

        Raises:
            DataError: A request has no event time, or a stored value is damaged.
            ServiceError: Redis does not answer.
        """
        as_of = Values.of(requests.column(self.service.request.event_time), DataType.TIMESTAMP)
        if as_of.valid is not None:
            raise DataError(
                f"service {self.service.name!r}: a request without {self.service.request.event_time!r} cannot be served as of a time"
            )
        served, reaches = self._read(requests, as_of.numbers, older=self._older)
        if reaches and not self._older:
            served, reaches = self._read(requests, as_of.numbers, older=True)
        self._older = reaches
        return served

    def _read(self, requests: pa.Table | pa.RecordBatch, as_of_ms: Int64s, *, older: bool) -> tuple[Served, bool]:
        """All in one round trip, with or without older tiles; and whether a window reaches back to those."""
        rows, reaches = requests.num_rows, False
        owners = [_distinct(requests, keys) for keys, _ in self._entities]
        replies = self._stored([entities for _, entities in owners], older=older) if self.service.views else []
        names = [view.name for view in self.service.views]
        *said, forgets, _ = replies[0][0] if replies else [None, None]
        frontiers = dict(zip(names, map(int64_of, said[: len(names)]), strict=True))
        sinces = dict(zip(names, map(int64_of, said[len(names) :]), strict=True))
        stale, age = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.int64)
        features: dict[str, pa.Array[Any]] = {}
        unseen, tiles = {}, {}
        for (_, views), (owner, _), answers in zip(self._entities, owners, replies[1:], strict=True):
            for position, view in enumerate(views):
                packed: list[Packed | None] = [packed_of(answer[position]) for answer in answers]
                every = joined(self._codecs[view.name], position, answers) if older else packed
                boundary, behind = _served_boundary(view, as_of_ms, frontiers[view.name])
                read, window = self._unpack(view, every, boundary)
                columns, tiles[view.name] = fold_counting(view, read.tiles, owner=owner, boundary_ms=boundary)
                features |= columns
                unseen[view.name] = np.array([value is None for value in [*packed, None]], dtype=np.bool_)[owner]
                stale |= (behind > 0) | _before(window, read.kept_from_ms, owner) | np.append(read.inexact, False)[owner]
                since = sinces[view.name]
                if since is not None:
                    stale |= True if view.has_lifetime else window < since
                if forgets:
                    stale |= unseen[view.name] & (owner >= 0)
                newest_from = kept_from_ms(packed) if older else read.kept_from_ms
                reaches |= not view.has_lifetime and bool(_before(window, newest_from, owner).any())
                age = np.maximum(age, behind)
        table = self._table(requests, features, _least(frontiers.values()), stale)
        return Served(table=table, stale_age_ms=age, unseen=unseen, tiles=tiles), reaches

    def _stored(self, entities: Sequence[Sequence[tuple[Any, ...]]], *, older: bool) -> list[list[list[bytes | None]]]:
        """Frontiers and since when they hold, then each entity's packed tiles (of all views, then the older ones of all), all of one generation.

        Frontiers are asked first: tiles read after are at least as complete as they say. What is served is asked last: a generation is removed
        only when another is served, so while the record has not changed all that was read before it was there. The same holds for a store that is
        emptied: while it is the incarnation that it was when the frontiers were read. Where it never is, nothing counts as complete.
        """
        for _ in range(_TRIES):
            groups = [([self._frontier_key], self._complete_fields)]
            groups += [
                (keys.of_all(values), all_fields(views) if older else [tiles_fields(view)[0] for view in views])
                for keys, (_, views), values in zip(self._keys, self._entities, entities, strict=True)
            ]
            *replies, ((record, incarnation),) = hmget_many(self._client, [*groups, ([KEY], [FIELD, self._serving_field])])
            if self._follows and record != self._record:
                self._read_from(ActiveGeneration.of(record).project)
                self._record = record
            elif incarnation == replies[0][0][-1]:
                return replies
        replies[0] = [[None] * len(self._complete_fields)]
        return replies

    def _read_from(self, project: str) -> None:
        self._frontier_key = frontier_key(project)
        self._serving_field = serving_field(project)
        self._keys = [EntityKeys(keys, project) for keys, _ in self._entities]

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


def _least(frontiers: Any) -> int | None:
    known = list(frontiers)
    return None if not known or None in known else min(known)
