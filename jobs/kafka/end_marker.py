"""How `tidemark publish` ends: with a marker that closes the last tiles of history, and without one while the events are live.

A marker says that a topic is complete up to a time. Of history that is so; of events of the last minutes it is not known, and what the next run
publishes for the same tiles would be late. Live tiles close as their source declares: with later events.
"""

from __future__ import annotations

from dataclasses import dataclass

from features.plan import Plan, SourcePlan
from schemas.errors import SettingError
from schemas.times import show_ms
from schemas.wording import beside, span

LIVE_MS = 300_000
"""Tiles that ended less than this ago, or have not yet, are live: more may come for them."""


@dataclass(frozen=True, kw_only=True)
class EndMarker:
    """The marker that closes the tiles of a source's newest event, in all its views, and makes no later tile's event late.

    Attributes:
        newest_ms: The newest event time.
        closed_ms: Up to when it closes tiles: their last end, or just behind the event where no view reads the source.
        marker_ms: The time that the marker tells, the earliest that does.
        tiles: Whether there are any.
    """

    newest_ms: int
    closed_ms: int
    marker_ms: int
    tiles: bool

    @classmethod
    def of(cls, plan: Plan, source: SourcePlan, *, newest_ms: int) -> EndMarker:
        """The marker for a newest event."""
        ends = [(newest_ms // view.tile_ms + 1) * view.tile_ms for view in plan.views_of(source.name)]
        closed_ms = max([newest_ms + 1, *ends])
        return cls(newest_ms=newest_ms, closed_ms=closed_ms, marker_ms=closed_ms - 1 + source.lateness_ms, tiles=bool(ends))

    def is_live(self, now_ms: int) -> bool:
        """Whether more may come for the tiles that it closes, as far as the clock tells; not so of a replay, whose times are long past."""
        return self.closed_ms + LIVE_MS > now_ms

    def check(self, now_ms: int, *, skew_ms: int) -> None:
        """Raises SettingError where jobs will pass the marker over when it is sent at `now_ms`, since it is too far ahead of the clock."""
        if self.marker_ms > now_ms + skew_ms:
            raise SettingError(
                f"publish: --marker: to close the tiles up to {show_ms(self.closed_ms)} it tells a time {beside('now', self.marker_ms - now_ms)}; "
                f"jobs pass over markers of more than {span(skew_ms)} (TIDEMARK_FUTURE_SKEW); publish without --marker, and later events close them"
            )

    def sent(self, partitions: int, now_ms: int) -> str:
        """What is told once it was sent at `now_ms`."""
        told = f", and an end marker to {'its partition' if partitions == 1 else f'each of {partitions} partitions'}"
        if self.tiles and self.closed_ms > now_ms:
            told += f"\ntiles closed up to {show_ms(self.closed_ms)}, {beside('now', self.closed_ms - now_ms)}: events of before that are late from now on"
        return told

    def left_out(self, now_ms: int) -> str:
        """What is told where the events are live, and none was asked for."""
        if not self.tiles:
            return ""
        return (
            f"\nthe newest event is live, {beside('now', self.newest_ms - now_ms)}: later events close its tiles; "
            f"to close them at once, up to {show_ms(self.closed_ms)}, {beside('now', self.closed_ms - now_ms)}, say --marker"
        )
