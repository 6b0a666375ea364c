"""Writes tiles into the store: one atomic merge per entity, then the account that moves the frontier."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from features.columns.values import Int64s, Values
from features.plan import ViewPlan
from features.tiles.codec import TileCodec
from features.tiles.compaction import HELD, HELD_MS, Retirement
from features.tiles.rollup import Rollup
from inference.gc_paused import gc_paused
from inference.online.compactor import RETIRE_AT, Compactor
from inference.online.frontier import Account, changing
from inference.online.store import Member, MergeRules, OnlineStore
from schemas.errors import DataError, ServiceError, SettingError
from schemas.types import DataType

_DAY_MS = 24 * 3600 * 1000
_AT_ONCE = 2_000  # entities whose tiles are merged in one round trip
_TRIES = 20
_LEAST_TILES = 4  # that the frontier may lag behind a key's newest tile before a read needs the older ones
_WORTH_WHILE = 4  # windows of slack, below which a second value would save little
_LONG_TILES = 1_024  # in a window, from which on to write them all costs more than to read two values
_FEW_TILES = 256


class TileWriter:
    """Stores the tiles of one view.

    Any number of writers may store any tiles any number of times in any order: of each tile the highest revision stays, and
    of one revision the copy that came last. Tiles that end further than the retention before the newest one are dropped; where the
    view has `Lifetime` features, they are merged into the key's base (`features.tiles.compaction`), and where it has several levels, into
    tiles of these (`features.tiles.rollup`).
    """

    def __init__(
        self,
        view: ViewPlan,
        store: OnlineStore,
        *,
        project: str = "tidemark",
        slack_ms: int = _DAY_MS,
        ttl_ms: int | None = None,
        forgets: bool = False,
    ) -> None:
        """Prepare the constant parts.

        Args:
            view: Whose tiles.
            store: Where, from `connect`.
            project: Feast's project, the generation that is written.
            slack_ms: How far back as-of reads may reach; tiles are kept for the longest window and this.
            ttl_ms: After how long without a write a whole entity is forgotten; None: never.
            forgets: Whether the server may remove an entity by itself: of one that is not there, nobody knows what was before its first tile.

        Raises:
            SettingError: A time to live, and `Lifetime` features.
        """
        reject_ttl_with_lifetime([view], ttl_ms)
        self.view = view
        self.retention_ms = view.longest_window_ms + slack_ms
        self._codec = codec = TileCodec(view=view)
        self._frontiers = store.frontiers(project=project)
        together_ms, cold_step_ms = cold_split(view, slack_ms)
        rules = MergeRules(
            layout=self._codec.layout,
            retention_ms=self.retention_ms,
            ttl_ms=ttl_ms,
            together_ms=together_ms,
            cold_step_ms=cold_step_ms,
            retire_at=RETIRE_AT if codec.has_block else 0,
            held=HELD,
            level_ms=view.levels_ms[1] if codec.larger_levels else 0,
            forgets=forgets,
        )
        self._tiles = store.tile_merges(view, project=project, rules=rules)
        merge: Retirement | Rollup | None = None
        if codec.larger_levels:
            merge = Rollup(codec=codec, slack_ms=slack_ms, recent_ms=recent_ms(view, slack_ms))
        elif view.has_lifetime:
            merge = Retirement(codec=codec, retention_ms=self.retention_ms)
        self._compactor = None if merge is None else Compactor(merge, self._tiles)

    def write(self, tiles: pa.Table | pa.RecordBatch, *, stand_in: bool = False) -> int | None:
        """Store tiles; when this returns they are readable, and the stream's own (revision 0), which closings count, are accounted for.

        Args:
            tiles: As of `merge`.
            stand_in: These stand in for the stream's own, and are accounted for whatever their revision.

        Returns:
            The view's frontier in ms; None before its first closing, and where no tile is accounted for.

        Raises:
            DataError: A tile start is not a multiple of the tile size.
            ServiceError: The store does not answer; nothing is accounted for that is not stored. Write the same tiles again.
        """
        for _ in range(_TRIES):
            opened = self._frontiers.open()
            account = self.merge(tiles, stand_in=stand_in)
            if not account.stored:
                return None
            reached = self._frontiers.account(opened, {self.view.name: account})
            if reached is not None:
                return reached[self.view.name]
        raise ServiceError(changing(_TRIES))

    @gc_paused()
    def merge(self, tiles: pa.Table | pa.RecordBatch, *, stand_in: bool = False) -> Account:
        """Store tiles; when this returns they are readable, and not yet accounted for.

        Args:
            tiles: The view's key columns (no nulls), `tile_start` (timestamp or int64 ms), `revision` (int64) and the tile columns.
            stand_in: As of `write`.

        Raises:
            DataError: A tile start is not a multiple of the tile size.
            ServiceError: The store does not answer. Write the same tiles again.
        """
        if not tiles.num_rows:
            return Account(tile_ms=self.view.tile_ms, stored={})
        start = Values.of(tiles.column("tile_start"), DataType.TIMESTAMP).numbers
        revision = Values.of(tiles.column("revision"), DataType.INT64).numbers
        self._check(start)
        members = self._tiles.members(list(zip(*(tiles.column(key.name).to_pylist() for key in self.view.keys), strict=True)))
        columns = {
            column.name: Values.of(partial.canonical(tiles.column(column.name)), column.type)
            for partial in self.view.partials
            for column in partial.columns
        }
        records = self._codec.pack(start_ms=start, revision=revision, columns=columns)
        merges, held_from = list(_by_member(members, start, revision, records).items()), time.time_ns() // 1_000_000 - HELD_MS
        for first in range(0, len(merges), _AT_ONCE):
            due = self._tiles.merge(dict(merges[first : first + _AT_ONCE]), held_from=held_from)
            if self._compactor is not None:
                self._compactor.compact(due)
        stored: defaultdict[int, list[bytes]] = defaultdict(list)
        for row in np.flatnonzero((revision == 0) | stand_in).tolist():
            stored[int(start[row]) + self.view.tile_ms].append(members[row])
        return Account(tile_ms=self.view.tile_ms, stored=stored)

    def close(self, tile_end_ms: int, tiles: int) -> int | None:
        """Account for a closing: all `tiles` tiles that end then have been sent. Returns the frontier in ms."""
        return self._frontiers.closed(self.view.name, [(tile_end_ms, tiles)])

    def frontier(self) -> int | None:
        """Up to when all tiles are readable, in ms; None before the first closing."""
        return self._frontiers.read([self.view.name])[self.view.name]

    def _check(self, start_ms: Int64s) -> None:
        off = start_ms[start_ms % self.view.tile_ms != 0]
        if len(off):
            raise DataError(f"view {self.view.name!r}: tile_start {off[0]} ms is not a multiple of the tile, {self.view.tile_ms} ms")


def cold_split(view: ViewPlan, slack_ms: int) -> tuple[int, int]:
    """How far before the end of a key's newest tile all tiles stay in one value, and the step in which older ones leave it, 0 for never; both in ms.

    A read as of now takes the tiles of one and a half to three and a half windows then, however long tiles are kept; shorter windows count as eight tiles.
    Of a long window, all of whose tiles a read takes anyway, the newest few stay, so that a write need not write the others again.
    """
    window_ms = max(view.longest_window_ms, 2 * _LEAST_TILES * view.tile_ms)
    if view.has_lifetime or len(view.levels_ms) > 1:
        return 0, 0
    if window_ms >= _LONG_TILES * view.tile_ms:
        return _FEW_TILES * view.tile_ms // 2, _FEW_TILES * view.tile_ms
    if slack_ms < _WORTH_WHILE * window_ms:
        return 0, 0
    return view.longest_window_ms + window_ms // 2, 2 * window_ms


def recent_ms(view: ViewPlan, slack_ms: int) -> int | None:
    """As `cold_split`, of a view with several levels: how far before the end of a key's newest tile small ones stay with the larger; None: all do."""
    small_ms, larger_ms = view.reaches_ms[0], view.levels_ms[1]
    if small_ms >= _LONG_TILES * view.tile_ms:
        return 2 * larger_ms
    return small_ms + larger_ms if slack_ms >= _WORTH_WHILE * small_ms else None


def reject_ttl_with_lifetime(views: Iterable[ViewPlan], ttl_ms: int | None) -> None:
    """Raises SettingError where entities are forgotten after a silence, and a view has `Lifetime` features."""
    ever = ", ".join(repr(view.name) for view in views if view.has_lifetime)
    if ttl_ms and ever:
        raise SettingError(
            f"TIDEMARK_ONLINE_TTL: view {ever} has Lifetime features, which would begin anew with each key that is forgotten; unset it"
        )


def _by_member(members: Sequence[Member], start_ms: Int64s, revision: Int64s, records: Sequence[bytes]) -> dict[Member, bytes]:
    """Records joined per entity in order of tile start; of one tile the highest revision, of that the last."""
    winners: dict[Member, dict[int, int]] = defaultdict(dict)
    for row in np.argsort(revision, kind="stable").tolist():
        winners[members[row]][int(start_ms[row])] = row
    return {member: b"".join(records[row] for _, row in sorted(rows.items())) for member, rows in winners.items()}


def tile_schema(view: ViewPlan) -> pa.Schema:
    """What `TileWriter.write` takes, as Arrow."""
    own = [("tile_start", DataType.TIMESTAMP.arrow), ("revision", pa.int64())]
    return pa.schema([(key.name, key.type.arrow) for key in view.keys] + own + [(c.name, c.type.arrow) for c in view.tile_columns])
