"""One benchmark, run: contenders in turns, round by round, each output checked before its figures count."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.benchmark import Benchmark, Contender, Figures, Workspace, WrongAnswerError
from benchmarks.units import shown

Samples = dict[str, list[Figures]]
"""Contender → its figures, round by round."""


def measure(benchmark: Benchmark, workspace: Workspace, tell: Callable[[str], None]) -> tuple[Sequence[Contender], Samples]:
    """Prepare, warm up, and measure.

    Each round begins with another contender, so that none always follows the same.

    Args:
        benchmark: What to measure.
        workspace: Where.
        tell: Told of every step, for the user.

    Raises:
        WrongAnswerError: An output is wrong; nothing of this benchmark counts.
    """
    try:
        return _measure(benchmark, workspace, tell)
    finally:
        benchmark.end(workspace)


def _measure(benchmark: Benchmark, workspace: Workspace, tell: Callable[[str], None]) -> tuple[Sequence[Contender], Samples]:
    contenders = benchmark.prepare(workspace)
    samples: Samples = {contender.name: [] for contender in contenders}
    if benchmark.warm_up:
        for contender in contenders:
            tell(f"warm-up: {contender.name}: {_told(_once(contender, workspace.folder))}")
    for number in range(benchmark.rounds):
        first = number % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            figures = _once(contender, workspace.folder)
            tell(f"round {number + 1}: {contender.name}: {_told(figures)}")
            samples[contender.name].append(figures)
    return contenders, samples


def _told(figures: Figures) -> str:
    return shown("seconds", figures["seconds"])


def _once(contender: Contender, folder: Path) -> Figures:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    figures = contender.run(out)
    try:
        contender.check(out)
    except WrongAnswerError as error:
        raise WrongAnswerError(f"{contender.name}: {error}") from None
    shutil.rmtree(out)
    return figures
