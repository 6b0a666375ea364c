"""The interface of an online store: what the reader, the writer, the frontiers and the generations ask of it, batch by batch.

A store holds generations. Each is a Feast project (`inference.online.active_generation`) and has the packed tiles of entities, view by view, and what is
known of their completeness (`inference.online.frontier`). Beside them is one record: which generation is served. A back end implements `OnlineStore` and the
three roles that it hands out (`TileReads`, `TileMerges`, `Frontiers`) in a package of its own; `inference.online.connection` names it. Nothing here is for
use by several threads at once. All that is sent may be sent again: a back end may try a lost call anew.

Entities are told in two ways: by the values of their keys, in the order in which the view declares them; and, where a store tells or is told of them, by
opaque bytes that it chose: an `Entity` holds in every generation, a `Member` in one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.plan import ViewPlan
from features.tiles.codec import Packed
from features.tiles.compacted import Compacted
from inference.online.cold_tiles import ViewTiles
from inference.online.frontier import Completeness, Frontiers

Entity = bytes
"""An entity of a store, whatever the generation."""
Member = bytes
"""An entity of one generation."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What one round trip has read of a generation.

    It holds together if `steady`, and if `active` is still the record that the caller chose the generation by: a generation is removed only when another is
    served, so all that was read before the record was there.

    Attributes:
        completeness: View → from when to when it is complete, read before any tile: tiles read after are at least as complete as it says.
        forgets: Whether the store may remove entities by itself.
        tiles: For each group of views, for each of its views, the tiles of the entities that were asked for.
        active: The record of what is served, as it was put in force, read after all tiles; None where none is.
        steady: Whether the generation was the same incarnation before the first tile was read and after the last.
    """

    completeness: Mapping[str, Completeness]
    forgets: bool
    tiles: Sequence[Sequence[ViewTiles]]
    active: bytes | None
    steady: bool


class TileReads(ABC):
    """Reads of the same views again and again: the constant parts are prepared."""

    @abstractmethod
    def read(self, project: str, entities: Sequence[Sequence[tuple[Any, ...]]], *, cold: bool) -> Snapshot:
        """Read many entities of all groups, in one round trip.

        Args:
            project: The generation.
            entities: For each group of views the entities, distinct, none of their key values null.
            cold: Whether cold tiles are asked for too.

        Raises:
            ServiceError: The store does not answer.
        """


@dataclass(frozen=True, kw_only=True)
class MergeRules:
    """What a store does with the tiles of a view, beside keeping them.

    Attributes:
        layout: 8 bytes, of the view's codec; what is stored under another is dropped by the next merge.
        retention_ms: How far before the end of an entity's newest tile others are kept.
        ttl_ms: After how long without a write an entity is forgotten; None: never.
        together_ms: How far before the end of the newest tile none is cold.
        cold_step_ms: The step in which tiles become cold; 0: none does.
        retire_at: So many tiles past retention, or, where there are larger levels, in closed intervals, are left until they are due to be merged
            (`TileMerges.merge`); 0: tiles past retention are dropped.
        held: How many more, while tiles come again.
        level_ms: The size of the first of the larger levels, whose tiles small ones are merged into; 0: there are none.
        forgets: Whether the server may have removed an entity, so that nothing is known of what was before the first tile of a new one.
    """

    layout: bytes
    retention_ms: int
    ttl_ms: int | None
    together_ms: int
    cold_step_ms: int
    retire_at: int
    held: int
    level_ms: int
    forgets: bool


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An entity's tiles as they are stored, cold ones aside.

    Attributes:
        packed: As `features.tiles.codec` packs them.
        version: By which the store knows whether they have changed.
    """

    packed: Packed
    version: bytes


class TileMerges(ABC):
    """Writes tiles of one view into one generation."""

    @abstractmethod
    def members(self, entities: Sequence[tuple[Any, ...]]) -> list[Member]:
        """What accounts call these entities; none of their key values is null."""

    @abstractmethod
    def merge(self, records: Mapping[Member, bytes], *, held_from: int) -> list[Member]:
        """Merge tiles into those that are stored: of each entity atomically, in any order, any number of times, and readable when this returns.

        Of two tiles with one start the one of the higher revision stays, of one revision the one that comes.

        Args:
            records: The entity's tiles as `TileCodec.pack` makes them, in order of their start, no start twice.
            held_from: The revision from which on tiles come again.

        Returns:
            The entities that have tiles due to be merged, as the rules say.

        Raises:
            ServiceError: The store does not answer; part may be merged, and may be merged again.
        """

    @abstractmethod
    def stored(self, members: Sequence[Member]) -> list[Stored | None]:
        """What is stored of some entities; None of one that has nothing.

        Raises:
            ServiceError: The store does not answer.
        """

    @abstractmethod
    def replace(self, values: Sequence[tuple[Member, Stored, Compacted]]) -> list[bool]:
        """Put packed tiles in the place of those that they were made of, and those that leave them with the cold ones; False where these have changed meanwhile.

        Raises:
            ServiceError: The store does not answer.
        """


class OnlineStore(ABC):
    """An online store; nothing is sent before the first verb. Every verb raises ServiceError where the store does not answer."""

    @abstractmethod
    def active(self) -> bytes | None:
        """The record of what is served; None before the first."""

    @abstractmethod
    def serve(self, record: bytes, number: int) -> bool:
        """Put a record in force unless one of the same or a higher number is; returns whether it is in force now."""

    @abstractmethod
    def tile_reads(self, groups: Sequence[Sequence[ViewPlan]]) -> TileReads:
        """Reads of groups of views, each of which have the same keys."""

    @abstractmethod
    def tile_merges(self, view: ViewPlan, *, project: str, rules: MergeRules) -> TileMerges:
        """Writes to a view of a generation."""

    @abstractmethod
    def frontiers(self, *, project: str = "tidemark") -> Frontiers:
        """Up to when the views of a generation are complete, and which store it is."""

    @abstractmethod
    def entities(self, project: str) -> Iterator[list[Entity]]:
        """All entities of a generation, some at a time; one that is there throughout comes at least once."""

    @abstractmethod
    def key_values(self, entity: Entity) -> dict[str, str | int]:
        """Join key → value. Nothing is sent."""

    @abstractmethod
    def holds(self, project: str, entities: Sequence[Entity]) -> list[bool]:
        """Which of some entities a generation has."""

    @abstractmethod
    def all_tiles(self, projects: Sequence[str], entities: Sequence[Entity], views: Sequence[ViewPlan]) -> list[list[ViewTiles]]:
        """For each generation, for each view, all tiles of the entities, cold ones too: in one round trip."""

    @abstractmethod
    def remove(self, project: str, *, removed: Callable[[int], None] = lambda _: None) -> int:
        """Remove a generation and nothing else, a bounded batch at a time, while others are written and read; if it fails, do it again.

        Args:
            project: The generation.
            removed: Told how many values were removed, batch by batch.

        Returns:
            How many there were.
        """

    @abstractmethod
    def remove_view(self, project: str, view: str) -> int:
        """Remove what a generation has of one view, its frontier included; returns how many values had something of it."""

    @abstractmethod
    def evicts(self) -> str | None:
        """How the server may remove single entities while all goes well, and what to do, in words; None: it does not."""

    @abstractmethod
    def forgets(self) -> str | None:
        """Why nothing survives a restart of the server, and what to do, in words; None: it does, or the server does not tell."""

    @abstractmethod
    def clear(self) -> None:
        """Remove all that is in the store, whoever wrote it."""

    @abstractmethod
    def server_version(self) -> str:
        """Of the server."""
