"""Whether another generation of the store holds what the one that is served does: every tile compared, and how far each has come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from features.durations import show
from features.plan import ViewPlan
from inference.online.active_generation import project_of
from inference.online.frontier import Completeness
from inference.online.generation_diff import Comparison, Difference, Generations, last
from inference.online.store import OnlineStore
from infra.settings import Settings
from jobs.control.generations import job_name
from jobs.control.store_state import show_since
from jobs.kafka.connection import Connection
from jobs.kafka.lag import Lag
from jobs.report.progress import spinner
from jobs.report.text_table import aligned
from schemas.times import show_ms
from schemas.wording import quantity

_SETTLE_S = 10.0  # how long what differs may take to be the same: a correction comes to one generation before the other
_MOST_AGAIN = 10_000  # entities that are compared again; where more differ, waiting does not help
_CATCH_UP_S = 20.0
_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Whether the generation `second` may be served in place of `first`.

    Attributes:
        comparison: Of their tiles.
        known: View → from when to when each is complete.
        lacking: Views of which the second lacks tiles that reads reach, and that the first has.
    """

    comparison: Comparison
    known: dict[str, tuple[Completeness, Completeness]]
    lacking: tuple[str, ...] = ()

    @property
    def behind(self) -> list[str]:
        """Views whose frontier is behind in the second."""
        ends = {view: (first.frontier_ms, second.frontier_ms) for view, (first, second) in self.known.items()}
        return [view for view, (first, second) in ends.items() if first is not None and (second is None or second < first)]

    @property
    def holds(self) -> bool:
        """Whether nothing is lost by the switch."""
        return self.comparison.equal and not self.behind and not self.lacking


def prove(settings: Settings, store: OnlineStore, views: Sequence[ViewPlan], first: int, second: int) -> Proof:
    """Wait until the second generation has caught up with the first, and compare all that both can have.

    Raises:
        DataError: A stored value is damaged.
        ServiceError: The store does not answer.
    """
    names = [view.name for view in views]
    sides = [store.frontiers(project=project_of(each)) for each in (first, second)]
    target = sides[0].known(names)

    def known() -> dict[str, tuple[Completeness, Completeness]]:
        now = sides[1].known(names)
        return {name: (target[name], now[name]) for name in names}

    deadline = time.monotonic() + _CATCH_UP_S
    proof = Proof(comparison=Comparison(), known=known())
    while proof.behind and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        proof = Proof(comparison=Comparison(), known=known())
    both = Generations(
        store=store,
        views=views,
        first=project_of(first),
        second=project_of(second),
        slack_ms=settings.tile_slack_ms,
        leaves=settings.online_ttl_ms is not None,
        whole=not Lag(Connection.of(settings), [view.tiles_topic for view in views], f"tidemark.{job_name(second)}").truncated,
    )
    with spinner() as tell:
        found = Comparison()
        for found in both.compare():
            tell(f"comparing, {quantity(sum(found.tiles.values()), 'tile')}")
    lacking = tuple(view.name for view in views if _lacks(view, *proof.known[view.name], slack_ms=settings.tile_slack_ms))
    return Proof(comparison=_settled(both, found), known=proof.known, lacking=lacking)


def _lacks(view: ViewPlan, first: Completeness, second: Completeness, *, slack_ms: int) -> bool:
    """Whether reads of the second generation that reach as far back as they may would be stale, and those of the first not."""
    if second.since_ms is None:
        return False
    if view.has_lifetime:
        return first.since_ms is None
    reached_ms = (second.frontier_ms or 0) - view.longest_window_ms - slack_ms
    return second.since_ms > (reached_ms if first.since_ms is None else max(reached_ms, first.since_ms))


def lines(proof: Proof, first: int, second: int) -> Iterator[str]:
    """What was found, for people."""
    found = proof.comparison
    rows = [("view", "equal tiles", "differing", f"generation {first} up to", f"generation {second} up to")]
    for view, (one, other) in proof.known.items():
        ends = (show_ms(one.frontier_ms), show_ms(other.frontier_ms))
        rows.append((view, f"{found.tiles.get(view, 0):,}", f"{found.differences.get(view, 0):,}", *ends))
    yield aligned(rows)
    if found.newer:
        yield f"{found.newer:,} tiles end after the frontier of one of both, or one of both drops them, and were not compared"
    for view, sides in proof.known.items():
        for generation, side in zip((first, second), sides, strict=True):
            if side.since_ms is not None:
                yield f"{view}: generation {generation} is complete since {show_since(side.since_ms)}; tiles before were not compared"
    if found.stale_layouts:
        yield f"{found.stale_layouts:,} values of generation {first} are another definition's, and were not compared"
    if found.stale_bases:
        yield f"{found.stale_bases:,} keys of generation {first} have stale Lifetime features or merged tiles, which were not compared"
    if found.returned:
        yield f"{found.returned:,} entities that had left generation {first} (TIDEMARK_ONLINE_TTL) are in generation {second} again"
    for example in found.examples:
        yield _text(example, first, second)
    for view in proof.lacking:
        yield f"{view}: generation {second} lacks tiles that generation {first} has; give `tidemark rebuild` --events"
    for view in proof.behind:
        yield f"{view}: generation {second} has not caught up; see whether job {job_name(second)} runs: `tidemark jobs`"
    if not found.equal:
        yield f"✗ tiles that differ: {sum(found.differences.values()):,}, of {len(found.differing):,} entities"
    elif proof.holds:
        yield f"✓ equal: {quantity(sum(found.tiles.values()), 'tile')}"


def _settled(both: Generations, found: Comparison) -> Comparison:
    """Compare what differs again for a while: what came to one of them last comes to the other."""
    deadline = time.monotonic() + _SETTLE_S
    differing = found.differing
    while differing and len(differing) <= _MOST_AGAIN and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        differing = last(both.compare(differing)).differing
    if len(differing) == len(found.differing):
        return found
    again = last(both.compare(differing)) if differing else Comparison()
    for name in ("tiles", "newer", "lost", "stale_layouts", "stale_bases", "returned"):
        setattr(again, name, getattr(found, name))
    return again


def _text(example: Difference, first: int, second: int) -> str:
    size = "" if example.size_ms is None else f" of {show(example.size_ms)}"
    place = f", all time{size and f', tiles{size}'}" if example.start_ms is None else f", tile {show_ms(example.start_ms)}{size}"
    where = f"{example.view} of {example.entity}{place}"
    match example.what:
        case "missing":
            return f"{where}: generation {first} has it, {second} has not"
        case "extra":
            return f"{where}: generation {second} has it, {first} has not"
        case "reach":
            return f"{where}: one of both has dropped older tiles, which the other never had; give `tidemark rebuild` --events"
        case "stale":
            return f"{where}: what is merged is stale in generation {second} alone; see `tidemark bootstrap --replace`"
        case "layout":
            return f"{where}: generation {second} holds tiles of another definition; see `tidemark plan`"
    values = ", ".join(f"{name} {one!r} and {other!r}" for name, (one, other) in example.columns.items())
    return f"{where}: {values}"
