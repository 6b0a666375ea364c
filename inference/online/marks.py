"""Whether the store still holds what was written to it: asked before each batch, so that one which has lost data is not taken for the one that it was.

A store goes back to what it was some time ago (a failover to a replica that was behind, a copy from yesterday, an empty folder, FLUSHALL), and its
marks with it: so a batch that begins after the offset up to which the store has written says that something between is lost, if Kafka holds
something between. And where the server is another than the last batch was written to, partitions that are silent are looked at as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from features.plan import FRONTIER_TOPIC, ViewPlan
from inference.online.frontier import Frontiers, Lost, Opened, Place, changing
from schemas.errors import ServiceError

_TRIES = 20
_IN_VAIN_MS = 3_600_000
"""At least so much later a tile has to be whole before one that waits is given up, where what it waits for may be lost."""

Span = tuple[int, int]
"""The first offset of some records of a partition, and the one after the last."""


class Log(Protocol):
    """What is asked of Kafka, in the rare case."""

    def extents(self, topics: Sequence[str]) -> Mapping[Place, Span]:
        """Where the partitions of some topics begin and end now."""

    def holds(self, place: Place, span: Span) -> bool:
        """Whether a partition has any record of a span, which it still keeps."""

    def newest_ends(self) -> Mapping[str, int]:
        """View → the largest tile end (ms) of its tiles and closings."""


@dataclass(frozen=True, kw_only=True)
class Began:
    """A store that has begun, or has begun anew: the record of the control topic.

    Attributes:
        incarnation: Its name.
        at_ms: When, by the clock.
        lost: What of the store before is missing, in words; empty for nothing.
    """

    incarnation: str
    at_ms: int
    lost: str


class Marks:
    """The marks of a generation, as the job that writes it keeps them. Not for use by several threads at once."""

    def __init__(
        self, *, frontiers: Frontiers, views: Sequence[ViewPlan], log: Log, began: Callable[[Began], None], forgets: bool = False
    ) -> None:
        """Prepare.

        Args:
            frontiers: Of the generation.
            views: All that the job writes.
            log: What the topics hold.
            began: Told of each incarnation that begins here.
            forgets: Whether the server may evict keys, and readers know it: then none that does has lost more than they expect.
        """
        self._frontiers = frontiers
        self._views = views
        self._topics = [*(view.tiles_topic for view in views), FRONTIER_TOPIC]
        self._log = log
        self._began = began
        self._forgets = forgets
        self._untold: Began | None = None

    def open(self, spans: Mapping[Place, Span]) -> Opened:
        """The store, ready for a batch: it holds all that was written before, or says since when it is complete.

        Args:
            spans: Where the batch comes from.

        Raises:
            ServiceError: The store or Kafka does not answer.
        """
        for _ in range(_TRIES):
            self._tell()
            opened = self._frontiers.open(list(spans))
            if opened.forgets != self._forgets:
                self._frontiers.forget(self._forgets)
            elif not opened.incarnation:
                self._begin_with(opened, spans)
            elif evicted := self._evicted(opened):
                self._begin(opened, f"the server has evicted {evicted:,} keys")
            elif gap := self._gap(opened, spans):
                self._begin(opened, gap)
            elif opened.server != opened.written:
                self._frontiers.suspect(opened, self._behind(spans))
            else:
                return opened
        raise ServiceError(changing(_TRIES))

    def _begin_with(self, opened: Opened, spans: Mapping[Place, Span]) -> None:
        """A store without marks: whole, if the topics are read from their beginning and have it still."""
        extents = self._log.extents(self._topics)
        if any(first > extents.get(place, (0, 0))[0] and self._log.holds(place, (0, first)) for place, (first, _) in spans.items()):
            self._begin(opened, "it is empty, or another, and the job goes on where it was")
            return
        cut = {topic for (topic, _), (first, _) in extents.items() if first > 0}
        views = {view.name: Lost(span_ms=_span(view), lost=bool(cut & {view.tiles_topic, FRONTIER_TOPIC})) for view in self._views}
        lacking = sorted(view for view, lost in views.items() if lost.lost)
        why = f"the topics no longer keep the first tiles of {', '.join(lacking)}" if lacking else ""
        self._name(opened, {place: first for place, (first, _) in extents.items() if first > 0}, views, why)

    def _begin(self, opened: Opened, why: str) -> None:
        """A store that has lost something, nobody knows what: whatever was written until now."""
        ends = {place: end for place, (_, end) in self._log.extents(self._topics).items()}
        newest = self._log.newest_ends()
        views = {view.name: Lost(span_ms=_span(view), lost=True, floor_ms=newest.get(view.name)) for view in self._views}
        self._name(opened, ends, views, why)

    def _name(self, opened: Opened, lost: Mapping[Place, int], views: Mapping[str, Lost], why: str) -> None:
        began = Began(incarnation=uuid4().hex, at_ms=time.time_ns() // 1_000_000, lost=why)
        if self._frontiers.begin(opened, began.incarnation, lost, views):
            self._untold = began
            self._tell()

    def _tell(self) -> None:
        if self._untold is not None:
            self._began(self._untold)
            self._untold = None

    def _evicted(self, opened: Opened) -> int:
        """How many keys the server has evicted since it was written to last."""
        (*now, evicted), (*before, known) = opened.server.split(b" "), opened.written.split(b" ")
        return max(0, int(evicted) - (int(known) if now[:1] == before[:1] else 0))

    def _gap(self, opened: Opened, spans: Mapping[Place, Span]) -> str:
        """Which records the store lacks that lie ahead of the batch, in words; empty for none."""
        for place, (first, _) in spans.items():
            at = max(opened.at[place] or 0, opened.lost[place] or 0)
            if at < first and self._lacks(place, (at, first)):
                return f"it has topic {place[0]}, partition {place[1]} up to offset {at:,} only, and the job goes on at {first:,}"
        return ""

    def _lacks(self, place: Place, span: Span) -> bool:
        """Whether there was a record: one that retention has deleted since is lost as well."""
        begins, _ = self._log.extents([place[0]])[place]
        return begins > span[0] or self._log.holds(place, span)

    def _behind(self, spans: Mapping[Place, Span]) -> list[Place]:
        """Partitions that may have been written further than the store now says: nobody knows until their next batch comes, or their job is at their end."""
        extents = self._log.extents(self._topics)
        others = [place for place in extents if place not in spans]
        opened = self._frontiers.open(others)
        left = {place: (max(opened.at[place] or 0, opened.lost[place] or 0), extents[place][1]) for place in others}
        return [place for place, (at, end) in left.items() if at < end and self._lacks(place, (at, end))]


def _span(view: ViewPlan) -> int:
    return max(view.longest_window_ms, _IN_VAIN_MS)


def spans_of(topics: Iterable[str], partitions: Iterable[int], offsets: Iterable[int]) -> dict[Place, Span]:
    """Where some records come from."""
    found: dict[Place, Span] = {}
    for topic, partition, offset in zip(topics, partitions, offsets, strict=True):
        first, end = found.get((topic, partition), (offset, offset))
        found[topic, partition] = (min(first, offset), max(end, offset + 1))
    return found
