"""Reads of tiles: completeness, the tiles of many entities, and the record of what is served, all in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from features.plan import ViewPlan
from inference.online.frontier import Completeness
from inference.online.redis.connection import Client, hmget_many
from inference.online.redis.layout import (
    ACTIVE_FIELD,
    ACTIVE_KEY,
    FORGETS,
    INCARNATION,
    EntityKeys,
    all_fields,
    frontier_fields,
    frontier_key,
    int64_of,
    serving_field,
    since_fields,
    tiles_fields,
    view_tiles,
)
from inference.online.store import Snapshot, TileReads


class RedisTileReads(TileReads):
    """HMGETs whose constant parts are prepared, those of a generation when it is first read."""

    def __init__(self, client: Client, groups: Sequence[Sequence[ViewPlan]]) -> None:
        """Name the server and the groups of views, each of the same keys."""
        self._client = client
        self._groups = groups
        self._names = [view.name for views in groups for view in views]
        known = [fields(name)[0] for fields in (frontier_fields, since_fields) for name in self._names]
        self._complete_fields = (*known, FORGETS, INCARNATION)
        self._recent_fields = [tuple(tiles_fields(view)[0] for view in views) for views in groups]
        self._all_fields = [all_fields(views) for views in groups]
        self._project: str | None = None
        self._said: list[bytes | None] | None = None  # of completeness, when it was read last: it seldom changes
        self._completeness: dict[str, Completeness] = {}

    def read(self, project: str, entities: Sequence[Sequence[tuple[Any, ...]]], *, cold: bool) -> Snapshot:
        """Read many entities; a server answers in the order in which it is asked."""
        if project != self._project:
            self._prepare(project)
        wanted = self._all_fields if cold else self._recent_fields
        tiles = [(keys.of_all(values), fields) for keys, values, fields in zip(self._keys, entities, wanted, strict=True)]
        ((complete,), *replies, ((active, incarnation),)) = hmget_many(self._client, [self._first, *tiles, self._last])
        *said, forgets, known = complete
        if said != self._said:
            self._said, self._completeness = said, self._read_completeness(said)
        return Snapshot(
            completeness=self._completeness,
            forgets=bool(forgets),
            tiles=[view_tiles(len(views), answers, cold=cold) for views, answers in zip(self._groups, replies, strict=True)],
            active=active,
            steady=incarnation == known,
        )

    def _read_completeness(self, said: Sequence[bytes | None]) -> dict[str, Completeness]:
        frontiers, sinces = ([int64_of(value) for value in values] for values in (said[: len(self._names)], said[len(self._names) :]))
        own = zip(self._names, frontiers, sinces, strict=True)
        return {name: Completeness(frontier_ms=frontier, since_ms=since) for name, frontier, since in own}

    def _prepare(self, project: str) -> None:
        self._first = ([frontier_key(project)], self._complete_fields)
        self._last = ([ACTIVE_KEY], (ACTIVE_FIELD, serving_field(project)))
        self._keys = [EntityKeys(views[0].keys, project) for views in self._groups]
        self._project = project
