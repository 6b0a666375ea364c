"""A backfill of 30 million payments with hot keys, in bounded memory; and of their first ten days, to see that the cost is linear."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.backfill import backfill
from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from benchmarks.works.backfill_30_million import check, inputs

HERE = Path(__file__).parent
GIB = 2**30
DAYS = {"10 million events": 10, "30 million events": 30}


def prepare(workspace: Workspace) -> list[Contender]:
    """One contender per size; each writes its inputs before its time begins and removes them after its check."""
    return [_contender(name, days, workspace.folder) for name, days in DAYS.items()]


def _contender(name: str, days: int, folder: Path) -> Contender:
    history = folder / "history"

    def run(out: Path) -> Figures:
        inputs.write(history, days)
        figures = backfill(
            "payment_features",
            HERE / "definitions",
            schemas=HERE / "schemas",
            events=history / "events",
            requests=history / "requests",
            out=out / "features",
            submit=True,
        )
        return {**figures, "events_per_s": days * inputs.PAYMENTS_PER_DAY / figures["seconds"]}

    def right(out: Path) -> None:
        check.right(out / "features", history / "events" / "payments", days)
        shutil.rmtree(history)

    what = f"`spark-submit jobs/backfill.py`, {days * inputs.REQUESTS_PER_DAY:,} requests, 8 features of two views, repeats counted once"
    return Contender(name=name, role=Role.OURS, what=what, run=run, check=right)


BENCHMARK = Benchmark(
    title="Backfill: 30 million payments; a tenth of 20,000 cards and 1,000 merchants ten times as busy, one merchant in every tenth",
    prepare=prepare,
    goals=(
        Goal(name="backfill_30_million_peak", figure="peak_bytes", of="30 million events", at_most=16.0 * GIB),
        Goal(name="backfill_30_vs_10_million", figure="seconds", of="30 million events", to=("10 million events",), at_most=3.3),
    ),
    in_quick=False,
    warm_up=False,
)
