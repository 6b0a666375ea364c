"""The frontier of each view: up to when all its tiles are readable, and since when.

Beside them are the marks of the store: which incarnation of it this is, and up to which record of each partition it holds what was written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from features.tiles.codec import ALL_TIME
from schemas.errors import ServiceError

Place = tuple[str, int]
"""Topic and partition."""

NEVER_MS = ALL_TIME[1]
"""Complete since a time that is not known yet."""

_TRIES = 20


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """What the store says of a view.

    Attributes:
        frontier_ms: Up to when all tiles are readable; None before the first closing.
        since_ms: Since when; None: since the beginning. `NEVER_MS`: of no time yet.
    """

    frontier_ms: int | None
    since_ms: int | None


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The store as a batch finds it.

    Attributes:
        incarnation: Which it is; empty where nobody has begun one.
        server: Of which process and which history of writes it is, and how many entities were evicted, as `process history number`.
        written: The same of when it was written to last; empty when it never was.
        forgets: Whether readers know that the server may evict entities; the number of those is 0 then.
        at: Of each place that was asked for, the offset up to which all records are accounted for; None where none is.
        lost: The offset up to which its records are known to be lost; None where none are.
    """

    incarnation: bytes
    server: bytes
    written: bytes
    forgets: bool
    at: Mapping[Place, int | None]
    lost: Mapping[Place, int | None]


@dataclass(frozen=True, kw_only=True)
class Account:
    """What is said of a view.

    Attributes:
        tile_ms: The size of its tiles.
        stored: Tile end (ms) → the entities whose tile is stored now.
        closings: (tile end in ms, how many tiles it has) of what the watermark has passed.
    """

    tile_ms: int
    stored: Mapping[int, Sequence[bytes]]
    closings: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, kw_only=True)
class Lost:
    """What a store that begins lacks of a view.

    Attributes:
        span_ms: How much later a tile has to be whole for an earlier one that waits to be given up; so far past `since`, none is.
        floor_ms: Tiles that end by then are lost, or may be; None: nothing is known of any. Without `lost`, it means nothing.
        lost: Whether anything is.
    """

    span_ms: int
    lost: bool
    floor_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class State:
    """What a generation says of itself.

    Attributes:
        incarnation: Which it is; empty where nobody has begun one.
        suspects: How many partitions' records it may lack, since its server is another than the one that was written to.
        since_ms: View that has lost data → since when it is complete; `NEVER_MS`: of no time yet.
    """

    incarnation: str
    suspects: int
    since_ms: Mapping[str, int]


class Frontiers(ABC):
    """Counts the stream's stored tiles against closings and advances in order. Everything may be said again, by anyone, at any time.

    Of one generation; `OnlineStore.frontiers` has them. What each verb says is said at once: no mark claims more than lies beside it.
    """

    @abstractmethod
    def open(self, places: Sequence[Place] = ()) -> Opened:
        """What the store says of itself and of some partitions, before something is written to it.

        Raises:
            ServiceError: The store does not answer.
        """

    @abstractmethod
    def account(
        self, opened: Opened, accounts: Mapping[str, Account], offsets: Mapping[Place, int] | None = None
    ) -> dict[str, int | None] | None:
        """Say what is stored and closed, and up to which offsets all records are.

        Args:
            opened: The store to which it was written.
            accounts: By view.
            offsets: Of each partition, the one after the last.

        Returns:
            The views' frontiers; None, and nothing is said, where this is no longer the store to which it was written.

        Raises:
            ServiceError: The store does not answer.
        """

    @abstractmethod
    def begin(self, opened: Opened, incarnation: str, lost: Mapping[Place, int], views: Mapping[str, Lost]) -> bool:
        """Let the store begin, or begin anew; False when somebody else was faster.

        Args:
            opened: The store as it was found.
            incarnation: Its new name.
            lost: The offset up to which the records of each partition are lost.
            views: What is lost of each view.

        Raises:
            ServiceError: The store does not answer.
        """

    @abstractmethod
    def suspect(self, opened: Opened, places: Sequence[Place]) -> bool:
        """Say whose records the store may lack, since its server is another; reads are stale until each of them has come on. False when somebody else was faster.

        Raises:
            ServiceError: The store does not answer.
        """

    @abstractmethod
    def forget(self, forgets: bool) -> None:
        """Say whether the server may evict entities.

        Raises:
            ServiceError: The store does not answer.
        """

    @abstractmethod
    def complete(self, views: Sequence[str]) -> None:
        """Say that views lack nothing: all that was before the first closing is stored.

        Raises:
            ServiceError: The store does not answer.
        """

    @abstractmethod
    def known(self, views: Sequence[str]) -> dict[str, Completeness]:
        """From when to when each view is complete.

        Raises:
            ServiceError: The store does not answer.
        """

    @abstractmethod
    def state(self) -> State:
        """What the generation says of itself.

        Raises:
            ServiceError: The store does not answer.
        """

    def stored(self, view: str, tiles: Mapping[int, Sequence[bytes]]) -> int | None:
        """Say which tiles are readable now that closings announce: tile end (ms) → entity keys. Returns the frontier."""
        return self._say(view, Account(tile_ms=0, stored=tiles))

    def closed(self, view: str, closings: Iterable[tuple[int, int]]) -> int | None:
        """Say what the watermark has passed: (tile end in ms, how many tiles it has). Returns the frontier."""
        return self._say(view, Account(tile_ms=0, stored={}, closings=tuple(closings)))

    def read(self, views: Sequence[str]) -> dict[str, int | None]:
        """The frontier of each view in ms; None before the first closing."""
        return {view: found.frontier_ms for view, found in self.known(views).items()}

    def _say(self, view: str, account: Account) -> int | None:
        for _ in range(_TRIES):
            reached = self.account(self.open(), {view: account})
            if reached is not None:
                return reached[view]
        raise ServiceError(changing(_TRIES))


def changing(tries: int) -> str:
    """What is said when the store was another one each time."""
    return f"redis: became another store {tries} times between a write and its account; see its log, and what else writes to it"
