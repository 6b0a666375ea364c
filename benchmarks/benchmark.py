"""What a benchmark is: contenders that do the same work, a check of what they made, and goals that compare them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks import works

CORES = 2
"""That every contender may use, whatever the machine has."""

Figures = Mapping[str, float]
"""What was measured, by name; the name ends with the unit: `seconds`, `peak_bytes`, `rows_per_s`, `growth_ratio`. Of `…_per_s` more is better, of all else less."""


class WrongAnswerError(Exception):
    """A contender's output is not what the work asks for; its time counts for nothing."""


class Role(StrEnum):
    """What a contender is there for."""

    OURS = "Tidemark"
    LIMIT = "limit"
    PEER = "peer"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way of doing the work.

    Attributes:
        name: Unique in its benchmark.
        role: What it is there for.
        what: What it does, for a reader who wants to know whether the comparison is fair.
        run: Does the work once, in processes of its own; given an empty folder for its output, tells what was measured.
        check: Given that folder afterwards, outside the measured time.
    """

    name: str
    role: Role
    what: str
    run: Callable[[Path], Figures]
    check: Callable[[Path], None]
    """Raises WrongAnswerError."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A bar, over the medians of one figure.

    Attributes:
        name: Of the ratio, in the results.
        figure: Which one.
        of: Our contender.
        to: The contenders it is compared with: the best of them counts. None: the figure itself is held to the bar.
        further: How many more of something ours has than they; then the ratio is what each of these adds to the cost, of theirs.
        at_most: The bar is the cost: this many times theirs, or so much.
        at_least: The bar is the gain: this many times better than theirs, or so much.
    """

    name: str
    figure: str
    of: str
    to: tuple[str, ...] = ()
    further: int | None = None
    at_most: float | None = None
    at_least: float | None = None

    def value(self, figures: Mapping[str, Figures]) -> float:
        """The ratio, of each contender's figures."""
        ours = figures[self.of][self.figure]
        if not self.to:
            return ours
        more_is_better = self.figure.endswith("_per_s")
        theirs = (max if more_is_better else min)(figures[name][self.figure] for name in self.to)
        if self.further is not None:
            return (ours - theirs) / self.further / theirs
        return theirs / ours if self.at_most is None and not more_is_better else ours / theirs

    def reached(self, value: float) -> bool:
        """Whether it clears the bar."""
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What a benchmark is given to prepare itself.

    Attributes:
        folder: Its own, kept between runs, for inputs.
        quick: Whether this is `make bench-quick`: take a small input.
        peers: Where the peers' Python environments are.
    """

    folder: Path
    quick: bool
    peers: Path


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A work, and who does it.

    Attributes:
        title: What the work is, in a line.
        prepare: Makes the inputs, unless they are there, and the contenders; not measured.
        end: Ends what `prepare` has started, services for example.
        goals: What must come out.
        peers: The environments its peers need: `benchmarks/peers/<name>.txt`.
        in_quick: Whether `make bench-quick` runs it.
        rounds: How often each contender is measured, after a round that is not.
        warm_up: Whether there is that round.
        shown: The figures in the table of `docs/benchmarks.md`; all when none is named.
    """

    title: str
    prepare: Callable[[Workspace], Sequence[Contender]]
    goals: tuple[Goal, ...]
    end: Callable[[Workspace], None] = lambda workspace: None
    peers: tuple[str, ...] = ()
    in_quick: bool = True
    rounds: int = 3
    warm_up: bool = True
    shown: tuple[str, ...] = ()


def benchmarks() -> dict[str, Benchmark]:
    """Every work, by the name of its module."""
    names = sorted(found.name for found in pkgutil.iter_modules(works.__path__))
    return {name: importlib.import_module(f"{works.__name__}.{name}").BENCHMARK for name in names}
