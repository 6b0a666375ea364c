"""Two generations of the store side by side: every tile of every entity, value by value."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from features.columns.record import RECORD
from features.kernel.fold import fold
from features.plan import ViewPlan
from features.tiles.codec import ALL_TIME, HEAD, NOTHING_DROPPED, Packed, TileCodec
from features.tiles.records import Records
from features.tolerances import differences, tile_rules, view_rules
from inference.online.store import Entity, OnlineStore

EXAMPLES = 5
_BATCH = 500  # entities compared in one round trip
_NO_TILES: Mapping[int, bytes] = {}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A tile that is not the same in both.

    Attributes:
        view: Whose.
        entity: Its keys, as text.
        start_ms: Of the tile; None: of all older tiles.
        size_ms: Of a tile of a larger level, which is merged of small ones, its length; None: it is a small one.
        what: `missing` in the second, `extra` in it, or `different`, as the tiles that are merged can be too. Of older tiles: `reach`, where one of both
            says that it has them; and of the second only: `stale`, where its base or its larger levels are not exact, and `layout`, where it holds another definition's.
        columns: Of a different one: name → both values.
    """

    view: str
    entity: str
    start_ms: int | None
    what: str
    columns: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    size_ms: int | None = None


@dataclass(kw_only=True)
class Comparison:
    """What was found.

    Attributes:
        tiles: View → tiles that are the same in both.
        newer: Tiles that only one of them could have yet, which were not compared.
        lost: Tiles that one of them has lost, or may have, which were not compared.
        stale_layouts: Values that another definition of their view has left in the first.
        stale_bases: Lifetime aggregates, or tiles of larger levels, of the first that are not exact, which were not compared.
        returned: Entities that only the second has, where entities leave the store after a silence.
        differences: How many, by view.
        examples: The first of them.
        differing: The entities that they belong to.
    """

    tiles: dict[str, int] = field(default_factory=dict)
    newer: int = 0
    lost: int = 0
    stale_layouts: int = 0
    stale_bases: int = 0
    returned: int = 0
    differences: dict[str, int] = field(default_factory=dict)
    examples: list[Difference] = field(default_factory=list)
    differing: set[Entity] = field(default_factory=set)

    @property
    def equal(self) -> bool:
        """Whether there is no difference."""
        return not self.differences

    def add(self, found: Difference, entity: Entity) -> None:
        """Note a difference."""
        self.differences[found.view] = self.differences.get(found.view, 0) + 1
        self.differing.add(entity)
        if len(self.examples) < EXAMPLES:
            self.examples.append(found)


@dataclass(frozen=True, kw_only=True)
class Generations:
    """Two generations of one store.

    Both may be written meanwhile: what is compared are tiles that end at or before the frontier of both, and that neither has dropped. A
    correction that has come to one of them only shows as a difference until it has come to both.

    Attributes:
        store: Where they are, from `connect`.
        views: All views.
        first: Feast's project of the one that is served.
        second: Of the other.
        slack_ms: How much longer than the longest window tiles are kept.
        leaves: Whether entities leave the store after a silence: those of the first may have, and nobody can tell.
        whole: Whether the second was given all tiles that there ever were, and so may reach further back, as with a longer window.
    """

    store: OnlineStore
    views: Sequence[ViewPlan]
    first: str
    second: str
    slack_ms: int
    leaves: bool = False
    whole: bool = True

    def compare(self, only: Iterable[Entity] | None = None) -> Iterator[Comparison]:
        """Compare all entities, or some.

        Yields:
            The same comparison again and again, each time with more in it.

        Raises:
            DataError: A value is damaged.
            ServiceError: The store does not answer.
        """
        names = [view.name for view in self.views]
        known = [self.store.frontiers(project=project).known(names) for project in (self.first, self.second)]
        sides = [
            _View(
                store=self.store,
                codec=TileCodec(view=view),
                slack_ms=self.slack_ms,
                settled_ms=min(_reached(each[view.name].frontier_ms) for each in known),
                since_ms=max(_reached(each[view.name].since_ms) for each in known),
                whole=self.whole,
            )
            for view in self.views
        ]
        found = Comparison(tiles=dict.fromkeys(names, 0))
        for batch in self._all(found) if only is None else [list(only)]:
            for first in range(0, len(batch), _BATCH):
                self._compare(batch[first : first + _BATCH], sides, found)
                yield found
        yield found

    def _all(self, found: Comparison) -> Iterator[list[Entity]]:
        """The entities of the first, then those of the second that the first does not have."""
        yield from self.store.entities(self.first)
        for batch in self.store.entities(self.second):
            known = self.store.holds(self.first, batch)
            alone = [entity for entity, there in zip(batch, known, strict=True) if not there]
            if self.leaves:
                found.returned += len(alone)
            else:
                yield alone

    def _compare(self, batch: Sequence[Entity], views: Sequence[_View], found: Comparison) -> None:
        sides = self.store.all_tiles((self.first, self.second), batch, self.views)
        before, after = ([tiles.whole(view.codec) for view, tiles in zip(views, side, strict=True)] for side in sides)
        for row, entity in enumerate(batch):
            for view, lefts, rights in zip(views, before, after, strict=True):
                if lefts[row] is not None or rights[row] is not None:
                    view.compare(entity, lefts[row], rights[row], found)


@dataclass(frozen=True, kw_only=True)
class _View:
    """Compares the packed tiles of one entity after the other.

    Attributes:
        settled_ms: The frontier of both.
        since_ms: Since when both are complete.
    """

    store: OnlineStore
    codec: TileCodec
    slack_ms: int
    settled_ms: int
    since_ms: int
    whole: bool

    def compare(self, entity: Entity, left: Packed | None, right: Packed | None, found: Comparison) -> None:
        view = self.codec.view
        if self._of_another(left):
            found.stale_layouts += 1
            return
        if self._of_another(right):
            self._note(found, entity, None, "layout")
            return
        one, other = _parse(self.codec, left), _parse(self.codec, right)
        newest = max(one.newest_ms, other.newest_ms)
        floor = newest - view.reaches_ms[0] - self.slack_ms
        further = self.whole and one.kept_from_ms - view.tile_ms in other.tiles  # what the first dropped last, the second still has
        if view.has_lifetime:
            floor = max(floor, one.kept_from_ms, other.kept_from_ms)
            if NOTHING_DROPPED < floor <= self.settled_ms and self.since_ms == ALL_TIME[0]:
                self._compare_folded(entity, (left, right), floor, self._allowed_merged, found)
        elif further or self.codec.larger_levels:
            floor = max(floor, one.kept_from_ms, *([other.kept_from_ms] if self.codec.larger_levels else ()))
        self._compare_tiles(entity, one.tiles, other.tiles, floor, view.tile_ms, found)
        whole = max(one.kept_from_ms, other.kept_from_ms) >= self.since_ms
        if self.codec.larger_levels:
            self._compare_levels(entity, one, other, newest, found)
            end_ms = min(newest, self.settled_ms // view.tile_ms * view.tile_ms)
            if not (one.outdated or other.outdated) and self.since_ms == ALL_TIME[0]:
                # What one of both has in small tiles and the other in larger ones.
                self._compare_folded(entity, (left, right), end_ms, self._allowed_values, found)
        elif (
            one.newest_ms == other.newest_ms and one.kept_from_ms != other.kept_from_ms and whole and not view.has_lifetime and not further
        ):
            self._note(found, entity, None, "reach")

    def _compare_tiles(
        self, entity: Entity, one: Mapping[int, bytes], other: Mapping[int, bytes], floor_ms: int, size_ms: int, found: Comparison
    ) -> None:
        """Tiles of one level, those that start from a time on."""
        name, size = self.codec.view.name, None if size_ms == self.codec.view.tile_ms else size_ms
        unlike = []
        for start in sorted(one.keys() | other.keys()):
            if start < floor_ms or start + size_ms > self.settled_ms:
                found.newer += 1
            elif start < self.since_ms:
                found.lost += 1
            elif start not in other or start not in one:
                self._note(found, entity, start, "extra" if start in other else "missing", size_ms=size)
            elif one[start] == other[start]:
                found.tiles[name] += 1
            else:
                unlike.append(start)
        for start in unlike:
            if columns := self._apart(start, one[start], other[start]):
                self._note(found, entity, start, "different", columns, size_ms=size)
            else:
                found.tiles[name] += 1

    def _compare_levels(self, entity: Entity, one: _Parsed, other: _Parsed, newest_ms: int, found: Comparison) -> None:
        """Tiles of the larger levels that both have merged; when they do is not the same for both."""
        view = self.codec.view
        if one.outdated or other.outdated:
            if one.outdated:
                found.stale_bases += 1
            else:
                self._note(found, entity, None, "stale")
            return
        merged_ms = min(one.merged_ms, other.merged_ms)
        for size_ms, reach_ms, mine, theirs in zip(view.levels_ms[1:], view.reaches_ms[1:], one.levels, other.levels, strict=True):
            sides = [{start: tile for start, tile in tiles.items() if start + size_ms <= merged_ms} for _, tiles in (mine, theirs)]
            kept_ms = newest_ms - reach_ms - self.slack_ms
            self._compare_tiles(entity, sides[0], sides[1], max(kept_ms, mine[0], theirs[0]), size_ms, found)
            if theirs[0] > max(mine[0], kept_ms, self.since_ms):
                self._note(found, entity, None, "reach", size_ms=size_ms)

    def _of_another(self, value: Packed | None) -> bool:
        return value is not None and HEAD.unpack_from(value)[2] != self.codec.layout

    def _note(
        self,
        found: Comparison,
        entity: Entity,
        start_ms: int | None,
        what: str,
        columns: Mapping[str, tuple[object, object]] | None = None,
        *,
        size_ms: int | None = None,
    ) -> None:
        name = "|".join(map(str, self.store.key_values(entity).values()))
        difference = Difference(
            view=self.codec.view.name, entity=name, start_ms=start_ms, what=what, columns=columns or {}, size_ms=size_ms
        )
        found.add(difference, entity)

    def _compare_folded(
        self, entity: Entity, values: Sequence[Packed | None], end_ms: int, allowed: Mapping[str, float], found: Comparison
    ) -> None:
        """Features as of an end of windows: what was merged on both sides, and what is yet to be."""
        read = self.codec.unpack(values, before_ms=end_ms)
        if read.inexact[0]:
            found.stale_bases += 1
            return
        folded = fold(self.codec.view, read.tiles, owner=np.arange(2), boundary_ms=np.full(2, end_ms))
        columns = {}
        for name, most in allowed.items():
            column = folded[name]
            if np.any(differences(*(pa.chunked_array([column.slice(side, 1)]) for side in (0, 1))) > most):
                columns[name] = (column[0].as_py(), column[1].as_py())
        if columns:
            self._note(found, entity, None, "different", columns)
        elif read.inexact[1]:
            self._note(found, entity, None, "stale")

    def _apart(self, start_ms: int, one: bytes, other: bytes) -> dict[str, tuple[object, object]]:
        """The columns of two copies of a tile that differ by more than DESIGN §3 allows, with both values."""
        bodies = [RECORD.pack(len(copy), start_ms, 0) + copy for copy in (one, other)]
        read = self.codec.read(np.arange(2), bodies)
        found = {}
        for column in self.codec.view.tile_columns:
            values = read.columns[column.name].arrow(column.type)
            sides = [pa.chunked_array([values.slice(side, 1)]) for side in (0, 1)]
            if np.any(differences(*sides) > self._allowed[column.name]):
                found[column.name] = (values[0].as_py(), values[1].as_py())
        return found

    @cached_property
    def _allowed(self) -> dict[str, float]:
        """By tile column."""
        return {name: rule.allowed for name, rule in tile_rules(self.codec.view).items()}

    @cached_property
    def _allowed_merged(self) -> dict[str, float]:
        """By `Lifetime` feature."""
        return {feature.name: self._allowed_values[feature.name] for feature in self.codec.view.features if not feature.window.is_bounded}

    @cached_property
    def _allowed_values(self) -> dict[str, float]:
        """By feature."""
        return {name: rule.allowed for name, rule in view_rules(self.codec.view).items()}


def _reached(frontier: int | None) -> int:
    return ALL_TIME[0] if frontier is None else frontier


@dataclass(frozen=True, kw_only=True)
class _Parsed:
    """A packed value, taken apart.

    Attributes:
        tiles: Start of each small tile that is not a stray → its payload.
        merged_ms, outdated: As of `features.tiles.level_block`.
        levels: Of each larger level from when on it is kept, and its tiles.
    """

    kept_from_ms: int = NOTHING_DROPPED
    newest_ms: int = NOTHING_DROPPED
    tiles: Mapping[int, bytes] = field(default_factory=dict)
    merged_ms: int = NOTHING_DROPPED
    outdated: bool = False
    levels: Sequence[tuple[int, Mapping[int, bytes]]] = ()


def _parse(codec: TileCodec, value: Packed | None) -> _Parsed:
    if value is None:
        return _Parsed(levels=[(NOTHING_DROPPED, _NO_TILES)] * codec.larger_levels)
    kept_from, newest_end, _ = HEAD.unpack_from(value)
    tiles = _payloads(codec, codec.records(value))
    if not codec.larger_levels:
        return _Parsed(kept_from_ms=kept_from, newest_ms=newest_end, tiles=tiles)
    block = codec.level_block(codec.split(value[HEAD.size :])[0], kept_from, ranges=False)
    return _Parsed(
        kept_from_ms=kept_from,
        newest_ms=newest_end,
        tiles={start: tile for start, tile in tiles.items() if start >= kept_from},
        merged_ms=block.merged_ms,
        outdated=block.outdated,
        levels=[(level.kept_from_ms, _payloads(codec, level.records)) for level in block.levels],
    )


def _payloads(codec: TileCodec, records: Packed) -> dict[int, bytes]:
    """Start of each tile → its payload."""
    return {start: record[RECORD.size :] for start, record in Records.of(codec, records).by_start().items()}


def last(comparisons: Iterator[Comparison]) -> Comparison:
    """The finished comparison."""
    return deque(comparisons, maxlen=1).pop()
