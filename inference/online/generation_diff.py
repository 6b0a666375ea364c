"""Two generations of the store side by side: every tile of every entity, value by value."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from features.kernel.fold import fold
from features.plan import ViewPlan
from features.tiles.codec import ALL_TIME, HEAD, NOTHING_DROPPED, RECORD, Packed, TileCodec
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
        what: `missing` in the second, `extra` in it, or `different`, as the tiles that are merged can be too. Of older tiles: `reach`, where one of both
            says that it has them; and of the second only: `stale`, where its base is not exact, and `layout`, where it holds another definition's.
        columns: Of a different one: name → both values.
    """

    view: str
    entity: str
    start_ms: int | None
    what: str
    columns: Mapping[str, tuple[object, object]] = field(default_factory=dict)


@dataclass(kw_only=True)
class Comparison:
    """What was found.

    Attributes:
        tiles: View → tiles that are the same in both.
        newer: Tiles that only one of them could have yet, which were not compared.
        lost: Tiles that one of them has lost, or may have, which were not compared.
        stale_layouts: Values that another definition of their view has left in the first.
        stale_bases: Lifetime aggregates of the first that are not exact, which were not compared.
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
        kept_a, newest_a, tiles_a = _parse(self.codec, left)
        kept_b, newest_b, tiles_b = _parse(self.codec, right)
        floor = max(newest_a, newest_b) - view.longest_window_ms - self.slack_ms
        further = self.whole and kept_a - view.tile_ms in tiles_b  # what the first dropped last, the second still has
        if view.has_lifetime:
            floor = max(floor, kept_a, kept_b)
            if NOTHING_DROPPED < floor <= self.settled_ms and self.since_ms == ALL_TIME[0]:
                self._compare_merged(entity, (left, right), floor, found)
        elif further:
            floor = max(floor, kept_a)
        unlike = []
        for start in sorted(tiles_a.keys() | tiles_b.keys()):
            if start < floor or start + view.tile_ms > self.settled_ms:
                found.newer += 1
            elif start < self.since_ms:
                found.lost += 1
            elif start not in tiles_b or start not in tiles_a:
                self._note(found, entity, start, "extra" if start in tiles_b else "missing")
            elif tiles_a[start] == tiles_b[start]:
                found.tiles[view.name] += 1
            else:
                unlike.append(start)
        for start in unlike:
            if columns := self._apart(start, tiles_a[start], tiles_b[start]):
                self._note(found, entity, start, "different", columns)
            else:
                found.tiles[view.name] += 1
        whole = max(kept_a, kept_b) >= self.since_ms
        if newest_a == newest_b and kept_a != kept_b and whole and not view.has_lifetime and not further:
            self._note(found, entity, None, "reach")

    def _of_another(self, value: Packed | None) -> bool:
        return value is not None and HEAD.unpack_from(value)[2] != self.codec.layout

    def _note(
        self, found: Comparison, entity: Entity, start_ms: int | None, what: str, columns: Mapping[str, tuple[object, object]] | None = None
    ) -> None:
        name = "|".join(map(str, self.store.key_values(entity).values()))
        found.add(Difference(view=self.codec.view.name, entity=name, start_ms=start_ms, what=what, columns=columns or {}), entity)

    def _compare_merged(self, entity: Entity, values: Sequence[Packed | None], end_ms: int, found: Comparison) -> None:
        """The `Lifetime` features as of a time that both sides' bases have passed: of what was merged, and of what is yet to be."""
        read = self.codec.unpack(values)
        if read.inexact[0]:
            found.stale_bases += 1
            return
        folded = fold(self.codec.view, read.tiles, owner=np.arange(2), boundary_ms=np.full(2, end_ms))
        columns = {}
        for name, allowed in self._allowed_merged.items():
            column = folded[name]
            if np.any(differences(*(pa.chunked_array([column.slice(side, 1)]) for side in (0, 1))) > allowed):
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
        rules = view_rules(self.codec.view)
        return {feature.name: rules[feature.name].allowed for feature in self.codec.view.features if not feature.window.is_bounded}


def _reached(frontier: int | None) -> int:
    return ALL_TIME[0] if frontier is None else frontier


def _parse(codec: TileCodec, value: Packed | None) -> tuple[int, int, Mapping[int, bytes]]:
    """Kept-from and newest end, and of each tile start the payload."""
    if value is None:
        return NOTHING_DROPPED, NOTHING_DROPPED, _NO_TILES
    kept_from, newest_end, _ = HEAD.unpack_from(value)
    tiles, offset = {}, len(value) - len(codec.records(value))
    while offset < len(value):
        length, start, _ = RECORD.unpack_from(value, offset)
        offset += RECORD.size + length
        tiles[start] = bytes(value[offset - length : offset])
    return kept_from, newest_end, tiles


def last(comparisons: Iterator[Comparison]) -> Comparison:
    """The finished comparison."""
    return deque(comparisons, maxlen=1).pop()
