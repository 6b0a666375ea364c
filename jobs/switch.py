"""`tidemark switch`: another generation of the store is served, once it is proven to hold what the one that is served does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from features.catalog import load
from features.compiler.plan import ViewPlan
from inference.online import generations
from inference.online.comparison import Comparison, Difference, Generations, last
from inference.online.connection import Client, connect
from inference.online.frontier import Completeness, Frontiers
from inference.online.serving import project_of
from infra import flink
from infra.settings import Settings
from jobs.applied import forget_generation
from jobs.backlog import Backlog
from jobs.check import aligned
from jobs.generations import job_name, serve, served
from jobs.store_state import show_since
from schemas.errors import SettingError
from schemas.times import show_ms

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


def command(
    generation: Annotated[int | None, typer.Argument(min=1, help="Which; the one after that which is served when not given")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the other generation and its job as they are, to switch back to")] = False,
    despite: Annotated[
        bool, typer.Option("--despite-differences", help="Switch also where they differ, e.g. since the one that is served is damaged")
    ] = False,
) -> int:
    """Serve another generation of the store, if it holds the same; then end and remove the one that was served before.

    Exit code 1 and no switch where they differ.
    """
    settings = Settings.load()
    views = tuple(load(settings.definitions, settings.schemas).views.values())
    client = connect(settings.redis_url)
    before = served(settings, client)
    target = before.generation + 1 if generation is None else generation
    if target != before.generation:
        if flink.Cluster(settings.flink_url).running(job_name(target)) is None:
            raise SettingError(
                f"switch: nobody fills generation {target}: job {job_name(target)} does not run; `tidemark rebuild` starts it"
            )
        proof = prove(settings, client, views, before.generation, target)
        show(proof, before.generation, target)
        if not proof.holds and not despite:
            return 1
        serve(settings, client, before.next(target))
    print(f"generation {target} is served", flush=True)
    if not keep:
        for other in sorted({before.generation, *range(1, target)} - {target}):
            _end(settings, client, other)
    return 0


def prove(settings: Settings, client: Client, views: Sequence[ViewPlan], first: int, second: int) -> Proof:
    """Wait until the second generation has caught up with the first, and compare all that both can have.

    Raises:
        DataError: A stored value is damaged.
        ServiceError: The store does not answer.
    """
    names = [view.name for view in views]
    sides = [Frontiers(client, project=project_of(each)) for each in (first, second)]
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
        client=client,
        views=views,
        first=project_of(first),
        second=project_of(second),
        slack_ms=settings.tile_slack_ms,
        leaves=settings.online_ttl_ms is not None,
        whole=not Backlog(settings.kafka_servers, [view.tiles_topic for view in views], f"tidemark.{job_name(second)}").truncated,
    )
    with _spinner() as tell:
        found = Comparison()
        for found in both.compare():
            tell(f"comparing, {sum(found.tiles.values()):,} tiles")
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


def show(proof: Proof, first: int, second: int) -> None:
    """Print what was found."""
    found = proof.comparison
    rows = [("view", "equal tiles", "differing", f"generation {first} up to", f"generation {second} up to")]
    for view, (one, other) in proof.known.items():
        ends = (show_ms(one.frontier_ms), show_ms(other.frontier_ms))
        rows.append((view, f"{found.tiles.get(view, 0):,}", f"{found.differences.get(view, 0):,}", *ends))
    print(aligned(rows))
    if found.newer:
        print(f"{found.newer:,} tiles end after the frontier of one of both, or one of both drops them, and were not compared")
    for view, sides in proof.known.items():
        for generation, side in zip((first, second), sides, strict=True):
            if side.since_ms is not None:
                print(f"{view}: generation {generation} is complete since {show_since(side.since_ms)}; tiles before were not compared")
    if found.stale_layouts:
        print(f"{found.stale_layouts:,} values of generation {first} are another definition's, and were not compared")
    if found.stale_bases:
        print(f"{found.stale_bases:,} keys of generation {first} have stale Lifetime features, which were not compared")
    if found.returned:
        print(f"{found.returned:,} entities that had left generation {first} (TIDEMARK_ONLINE_TTL) are in generation {second} again")
    for example in found.examples:
        print(_text(example, first, second))
    for view in proof.lacking:
        print(f"{view}: generation {second} lacks tiles that generation {first} has; give `tidemark rebuild` --events")
    for view in proof.behind:
        print(f"{view}: generation {second} has not caught up; see whether job {job_name(second)} runs: `tidemark jobs`")
    if not found.equal:
        print(f"✗ tiles that differ: {sum(found.differences.values()):,}, of {len(found.differing):,} entities")
    elif proof.holds:
        print(f"✓ equal: {sum(found.tiles.values()):,} tiles")


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
    where = f"{example.view} of {example.entity}{', all time' if example.start_ms is None else f', tile {show_ms(example.start_ms)}'}"
    match example.what:
        case "missing":
            return f"{where}: generation {first} has it, {second} has not"
        case "extra":
            return f"{where}: generation {second} has it, {first} has not"
        case "reach":
            return f"{where}: one of both has dropped older tiles, which the other never had; give `tidemark rebuild` --events"
        case "stale":
            return f"{where}: Lifetime features are stale in generation {second} alone; see `tidemark bootstrap --replace`"
        case "layout":
            return f"{where}: generation {second} holds tiles of another definition; see `tidemark plan`"
    values = ", ".join(f"{name} {one!r} and {other!r}" for name, (one, other) in example.columns.items())
    return f"{where}: {values}"


def _end(settings: Settings, client: Client, generation: int) -> None:
    name = job_name(generation)
    cluster = flink.Cluster(settings.flink_url)
    job = cluster.running(name)
    if job is not None:
        cluster.cancel(job.id)
        print(f"job {name} {job.id} cancelled", flush=True)
    with _spinner() as tell:
        count = 0

        def removed(number: int) -> None:
            nonlocal count
            count += number
            tell(f"removing generation {generation}, {count:,} keys")

        total = generations.remove(client, project_of(generation), removed=removed)
    forget_generation(settings, generation)
    if total:
        print(f"generation {generation}: {total:,} keys removed", flush=True)


@contextmanager
def _spinner() -> Iterator[Callable[[str], None]]:
    """Tells what is being done, on a terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("")
        yield lambda text: progress.update(task, description=text)
