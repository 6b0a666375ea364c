"""Reads features online: every request as of its own event time, many requests in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.column import Column
from features.columns.values import Int64s
from features.kernel.needed import lacking
from features.plan import ServicePlan, ViewPlan
from features.tiles.codec import ALL_TIME, TileCodec, kept_from_ms
from features.tiles.packed_fold import PackedFolds
from features.window import NEVER_MS, boundary_ms, complete_ms
from inference.gc_paused import gc_paused
from inference.online.active_generation import ActiveGeneration
from inference.online.frontier import Completeness
from inference.online.requests import Requests
from inference.online.served import Served
from inference.online.store import OnlineStore, Snapshot
from schemas.errors import DataError

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
        views, grouped = service.views, [view.name for group in entities.values() for view in group]
        self._views = views
        self._order = [grouped.index(view.name) for view in views]  # where each is among the groups' views
        self._entity_of = [number for number, (_, group) in enumerate(self._entities) for _ in group]
        self._names = [view.name for view in views]
        self._folds = PackedFolds([TileCodec(view=view) for view in views])
        self._folds.prepare()
        self._tile_ms = np.array([view.tile_ms for view in views], dtype=np.int64).reshape(-1, 1)
        self._delay_ms = np.array([view.delay_ms for view in views], dtype=np.int64).reshape(-1, 1)
        self._endless = np.array([view.has_lifetime for view in views], dtype=np.bool_).reshape(-1, 1)
        self._known: Mapping[str, Completeness] | None = None  # of which the following is
        self._complete_ms, self._unknown = np.empty((0, 1), dtype=np.int64), list[int]()
        self._since_ms: Int64s | None = None
        self._frontier_ms: int | None = None
        self._reads = store.tile_reads(list(entities.values()))
        self._cold = False  # whether cold tiles are asked for too: as long as requests need them

    @gc_paused()
    def read(self, requests: Requests | pa.Table | pa.RecordBatch) -> Served:
        """Features of every request as of its event time, in the order of the requests.

        Raises:
            DataError: A request has no event time, or a stored value is damaged.
            ServiceError: The store does not answer.
        """
        asked = requests if isinstance(requests, Requests) else Requests.of_table(requests, self.service.request.columns)
        as_of_ms = asked.times_ms(self.service.request.event_time)
        if as_of_ms is None:
            raise DataError(
                f"service {self.service.name!r}: a request without {self.service.request.event_time!r} cannot be served as of a time"
            )
        served, reaches = self._read(asked, as_of_ms, cold=self._cold)
        if reaches and not self._cold:
            served, reaches = self._read(asked, as_of_ms, cold=True)
        self._cold = reaches
        return served

    def _read(self, requests: Requests, as_of_ms: Int64s, *, cold: bool) -> tuple[Served, bool]:
        """All in one round trip, with or without cold tiles; and whether a window reaches back to those."""
        entities = [_distinct(requests, keys) for keys, _ in self._entities]
        found = self._snapshot([values for _, values in entities], cold=cold) if self._views else _NOTHING
        boundary, behind = self._boundaries(as_of_ms, found)
        grouped = [tiles for stored in found.tiles for tiles in stored]
        stored = [grouped[place] for place in self._order]
        packed = [tiles.whole(codec) for codec, tiles in zip(self._folds.codecs, stored, strict=True)]
        own = [entities[self._entity_of[place]][0] for place in self._order]
        owners = np.concatenate(own).reshape(len(own), -1) if own else np.empty((0, len(requests)), dtype=np.int64)
        folded = self._folds(packed, owners=owners, boundaries=boundary)
        age = behind.max(axis=0, initial=0)
        stale = folded.lacking.any(axis=0)
        stale |= age > 0
        if self._since_ms is not None:
            stale |= (folded.begin_ms < self._since_ms).any(axis=0)
        if found.forgets:
            stale |= (folded.unseen & (owners >= 0)).any(axis=0)
        newest = folded.lacking_small
        if cold:
            kept = [
                lacking([small], owner, [kept_from_ms(tiles.recent)])
                for small, owner, tiles in zip(folded.small_ms, own, stored, strict=True)
            ]
            newest = np.array(kept, dtype=np.bool_).reshape(newest.shape)
        served = Served(
            service=self.service,
            requests=requests,
            windowed=folded.features,
            frontier_ms=self._frontier_ms,
            stale=stale,
            stale_age_ms=age,
            unseen=dict(zip(self._names, folded.unseen, strict=True)),
            tiles=dict(zip(self._names, folded.tiles, strict=True)),
        )
        return served, bool((newest & ~self._endless).any())

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

    def _incomplete_until(self, found: Snapshot) -> Int64s | None:
        """int64[views, 1]: windows that begin before are not exact, since when the store is complete; None where it has all of all views."""
        since = [found.completeness[view.name].since_ms for view in self._views]
        if all(each is None for each in since):
            return None
        known = np.array([ALL_TIME[0] if each is None else each for each in since], dtype=np.int64).reshape(-1, 1)
        return np.where(self._endless & (known != ALL_TIME[0]), ALL_TIME[1], known)

    def _boundaries(self, as_of_ms: Int64s, found: Snapshot) -> tuple[Int64s, Int64s]:
        """int64[views, rows]: the end of every row's windows that can be served, and how far that lies behind what was asked for."""
        if found.completeness is not self._known:
            self._known = found.completeness
            frontiers = [found.completeness[view.name].frontier_ms for view in self._views]
            known = np.array([NEVER_MS if each is None else each for each in frontiers], dtype=np.int64).reshape(-1, 1)
            self._complete_ms = complete_ms(np.full_like(known, ALL_TIME[1]), known, tile_ms=self._tile_ms)
            self._unknown = [number for number, each in enumerate(frontiers) if each is None]
            self._frontier_ms = min((each for each in frontiers if each is not None), default=None) if not self._unknown else None
            self._since_ms = self._incomplete_until(found)
        wanted = boundary_ms(as_of_ms, delay_ms=self._delay_ms, tile_ms=self._tile_ms)
        boundary = np.minimum(wanted, self._complete_ms)
        behind = wanted - boundary
        if self._unknown:
            boundary[self._unknown], behind[self._unknown] = ALL_TIME[0], NO_FRONTIER_AGE_MS
        return boundary, behind


def _distinct(requests: Requests, keys: Sequence[Column]) -> tuple[Int64s, Sequence[tuple[Any, ...]]]:
    """The distinct entities of the requests, and which of them each row asks for; −1 where a key is null."""
    columns = [requests.values(key.name) for key in keys]
    rows = list(zip(*columns, strict=True))
    if len(seen := dict.fromkeys(rows)) == len(rows) and not any(None in column for column in columns):
        return np.arange(len(rows), dtype=np.int64), rows
    numbers = {values: number for number, values in enumerate(values for values in seen if None not in values)}
    return np.array([numbers.get(values, -1) for values in rows], dtype=np.int64), list(numbers)
