"""Two generations of the store side by side: every tile of every entity, value by value."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from features.compiler.plan import ViewPlan
from features.exactness import differences, tile_rules, view_rules
from features.kernel import fold
from features.packing import ALL_TIME, NOTHING_DROPPED, TileCodec
from inference.online.connection import Client, answering, hmget_many
from inference.online.frontier import Frontiers
from inference.online.generations import entities
from inference.online.layout import key_values, packed_of, tiles_fields

EXAMPLES = 5
_BATCH = 500  # entities compared in one round trip
_HEADER, _RECORD = struct.Struct("<qq8s"), struct.Struct("<Iqq")
_NO_TILES: Mapping[int, bytes] = {}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A tile that is not the same in both.

    Attributes:
        view: Whose.
        entity: Its keys, as text.
        start_ms: Of the tile; None: all older tiles, of which one of the two says that it has them, or which are merged.
        what: `missing` in the second, `extra` in it, `different`, or `reach`.
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
        stale_layouts: Values that another definition of their view has left in the first.
        returned: Entities that only the second has, where entities leave the store after a silence.
        differences: How many, by view.
        examples: The first of them.
        differing: The entities that they belong to.
    """

    tiles: dict[str, int] = field(default_factory=dict)
    newer: int = 0
    stale_layouts: int = 0
    returned: int = 0
    differences: dict[str, int] = field(default_factory=dict)
    examples: list[Difference] = field(default_factory=list)
    differing: set[bytes] = field(default_factory=set)

    @property
    def equal(self) -> bool:
        """Whether there is no difference."""
        return not self.differences

    def add(self, found: Difference, entity: bytes) -> None:
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
        client: From `connect`.
        views: All views.
        first: Feast's project of the one that is served.
        second: Of the other.
        slack_ms: How much longer than the longest window tiles are kept.
        leaves: Whether entities leave the store after a silence: those of the first may have, and nobody can tell.
    """

    client: Client
    views: Sequence[ViewPlan]
    first: str
    second: str
    slack_ms: int
    leaves: bool = False

    def compare(self, only: Iterable[bytes] | None = None) -> Iterator[Comparison]:
        """Compare all entities, or some.

        Yields:
            The same comparison again and again, each time with more in it.

        Raises:
            DataError: A value is damaged.
            ServiceError: The store does not answer.
        """
        names = [view.name for view in self.views]
        frontiers = [Frontiers(self.client, project=project).read(names) for project in (self.first, self.second)]
        settled = {name: min(_reached(each[name]) for each in frontiers) for name in names}
        found = Comparison(tiles=dict.fromkeys(names, 0))
        for batch in self._all(found) if only is None else [list(only)]:
            for first in range(0, len(batch), _BATCH):
                self._compare(batch[first : first + _BATCH], settled, found)
                yield found
        yield found

    def _all(self, found: Comparison) -> Iterator[list[bytes]]:
        """The entities of the first, then those of the second that the first does not have."""
        yield from entities(self.client, self.first)
        for batch in entities(self.client, self.second):
            with answering(self.client):
                pipeline = self.client.pipeline(transaction=False)
                for entity in batch:
                    pipeline.exists(entity + self.first.encode())
                alone = [entity for entity, known in zip(batch, pipeline.execute(), strict=True) if not known]
            if self.leaves:
                found.returned += len(alone)
            else:
                yield alone

    def _compare(self, batch: Sequence[bytes], settled: Mapping[str, int], found: Comparison) -> None:
        fields = [tiles_fields(view)[0] for view in self.views]
        sides = [([entity + project.encode() for entity in batch], fields) for project in (self.first, self.second)]
        one, other = hmget_many(self.client, sides)
        for entity, before, after in zip(batch, one, other, strict=True):
            for view, left, right in zip(self.views, before, after, strict=True):
                if left is not None or right is not None:
                    values = _Pair(view=view, entity=entity, slack_ms=self.slack_ms, settled_ms=settled[view.name])
                    values.compare(packed_of(left), packed_of(right), found)


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """The packed tiles of one entity in both."""

    view: ViewPlan
    entity: bytes
    slack_ms: int
    settled_ms: int

    def compare(self, left: memoryview | None, right: memoryview | None, found: Comparison) -> None:
        codec = TileCodec(view=self.view)
        if left is not None and bytes(left[16:24]) != codec.layout:
            found.stale_layouts += 1
            return
        kept_a, newest_a, tiles_a = _parse(codec, left)
        kept_b, newest_b, tiles_b = _parse(codec, right)
        floor = max(newest_a, newest_b) - self.view.longest_window_ms - self.slack_ms
        if self.view.has_lifetime:
            floor = max(floor, kept_a, kept_b)
            if NOTHING_DROPPED < floor <= self.settled_ms and (columns := _before(codec, (left, right), floor)):
                self._note(found, None, "different", columns)
        unlike = []
        for start in sorted(tiles_a.keys() | tiles_b.keys()):
            if start < floor or start + self.view.tile_ms > self.settled_ms:
                found.newer += 1
            elif start not in tiles_b or start not in tiles_a:
                self._note(found, start, "extra" if start in tiles_b else "missing")
            elif tiles_a[start][8:] == tiles_b[start][8:]:
                found.tiles[self.view.name] += 1
            else:
                unlike.append(start)
        for start in unlike:
            if columns := _apart(codec, start, tiles_a[start], tiles_b[start]):
                self._note(found, start, "different", columns)
            else:
                found.tiles[self.view.name] += 1
        if newest_a == newest_b and kept_a != kept_b and not self.view.has_lifetime:
            self._note(found, None, "reach")

    def _note(self, found: Comparison, start_ms: int | None, what: str, columns: Mapping[str, tuple[object, object]] | None = None) -> None:
        name = "|".join(map(str, key_values(self.entity).values()))
        found.add(Difference(view=self.view.name, entity=name, start_ms=start_ms, what=what, columns=columns or {}), self.entity)


def _reached(frontier: int | None) -> int:
    return ALL_TIME[0] if frontier is None else frontier


def _parse(codec: TileCodec, value: memoryview | None) -> tuple[int, int, Mapping[int, bytes]]:
    """Kept-from and newest end, and of each tile start the revision and payload, as bytes."""
    if value is None:
        return NOTHING_DROPPED, NOTHING_DROPPED, _NO_TILES
    kept_from, newest_end, _ = _HEADER.unpack_from(value)
    tiles, offset = {}, len(value) - len(codec.records(value))
    while offset < len(value):
        length, start, _ = _RECORD.unpack_from(value, offset)
        tiles[start] = bytes(value[offset + 12 : offset + _RECORD.size + length])
        offset += _RECORD.size + length
    return kept_from, newest_end, tiles


def _before(codec: TileCodec, values: Sequence[memoryview | None], end_ms: int) -> dict[str, tuple[object, object]]:
    """The `Lifetime` features as of a time that both sides' bases have passed, where they differ: what was merged, and what is yet to be."""
    folded = fold(codec.view, codec.unpack(values).tiles, owner=np.arange(2), boundary_ms=np.full(2, end_ms))
    rules = view_rules(codec.view)
    found = {}
    for feature in codec.view.features:
        column = folded[feature.name]
        sides = [pa.chunked_array([column.slice(side, 1)]) for side in (0, 1)]
        if feature.window_ms is None and np.any(differences(*sides) > rules[feature.name].allowed):
            found[feature.name] = (column[0].as_py(), column[1].as_py())
    return found


def _apart(codec: TileCodec, start: int, one: bytes, other: bytes) -> dict[str, tuple[object, object]]:
    """The columns of two copies of a tile that differ by more than DESIGN §3 allows, with both values."""
    packed = [
        codec.value([struct.pack("<Iq", len(copy) - 8, start) + copy], newest_end_ms=start + codec.view.tile_ms) for copy in (one, other)
    ]
    read = codec.unpack(packed).tiles
    found = {}
    for column in codec.view.tile_columns:
        values = read.columns[column.name].arrow(column.type)
        sides = [pa.chunked_array([values.slice(side, 1)]) for side in (0, 1)]
        if np.any(differences(*sides) > tile_rules(codec.view)[column.name].allowed):
            found[column.name] = (values[0].as_py(), values[1].as_py())
    return found


def last(comparisons: Iterator[Comparison]) -> Comparison:
    """The finished comparison."""
    return deque(comparisons, maxlen=1).pop()
