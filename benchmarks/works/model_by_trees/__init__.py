"""A model too large for one worker, cut by its trees: what each worker holds of it, and whether the answers are those of the whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace, WrongAnswerError
from benchmarks.processes import measured
from benchmarks.works.model_by_trees import inputs

WHOLE, CUT = "the whole model", "four stages"
CLOSE = 1e-12


def prepare(workspace: Workspace) -> list[Contender]:
    """The model, and the right answers."""
    model, trees, rows = workspace.folder / "model", 200 if workspace.quick else 5_000, 20_000
    inputs.ensure(model, trees)
    right = workspace.folder / "right.npy"
    (workspace.folder / "first").mkdir(exist_ok=True)
    _run(model, rows, workspace.folder / "first", ["whole"])
    (workspace.folder / "first" / "sums-whole.npy").replace(right)

    def contender(name: str, role: Role, what: str, workers: Sequence[str]) -> Contender:
        def check(out: Path) -> None:
            if not np.allclose(np.load(out / f"sums-{workers[-1]}.npy"), np.load(right), rtol=CLOSE, atol=CLOSE):
                raise WrongAnswerError("scores that are not the whole model's")

        return Contender(name=name, role=role, what=what, run=lambda out: _run(model, rows, out, workers), check=check)

    stages = [str(number) for number in range(inputs.STAGES)]
    return [
        contender(
            CUT,
            Role.OURS,
            "a worker for each stage, one after the other; seconds of all, memory of the largest above what it held without trees",
            stages,
        ),
        contender(WHOLE, Role.LIMIT, "one worker with all trees", ["whole"]),
    ]


def _run(model: Path, rows: int, out: Path, workers: Sequence[str]) -> Figures:
    told = []
    for worker in workers:
        number = [] if worker == "whole" else [worker]
        measured([sys.executable, "-m", f"{__name__}.worker", model, str(rows), out, *number], out / "log")
        told.append(json.loads((out / f"told-{worker}.json").read_text()))
    seconds = sum(each["seconds"] for each in told)
    return {"seconds": seconds, "rows_per_s": rows / seconds, "worker_bytes": max(each["worker_bytes"] for each in told)}


BENCHMARK = Benchmark(
    title=f"A model of 5,000 trees of {inputs.LEAVES} leaves, cut into {inputs.STAGES} stages of consecutive trees",
    prepare=prepare,
    goals=(
        Goal(name="stage_memory_vs_whole", figure="worker_bytes", of=CUT, to=(WHOLE,), at_most=1 / 3),
        Goal(name="stages_vs_whole", figure="rows_per_s", of=CUT, to=(WHOLE,), at_least=0.9),
    ),
)
