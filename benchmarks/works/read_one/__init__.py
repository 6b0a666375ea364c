"""A single request's features read online, beside Feast's precomputed values and beside the server alone: what does not get cheaper by the batch."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark, Contender, Goal, Workspace
from benchmarks.online.cases import Case
from benchmarks.works import online_read

ONE, CHIEF = Case(rows=1, views=1), Case(rows=1, views=3)


def prepare(workspace: Workspace) -> list[Contender]:
    """As for online_read, of which these are two cases."""
    return online_read.contenders(workspace, [ONE, CHIEF], CHIEF)


BENCHMARK = Benchmark(
    title="Online read of one request: features of one view and of three, 6 of each; one client, one Valkey",
    prepare=prepare,
    goals=(Goal(name="read_one_vs_feast", figure=f"{CHIEF.name}_seconds", of=online_read.OURS, to=(online_read.FEAST,), at_least=2.0),),
    peers=("feast",),
    shown=tuple(f"{case.name}_{figure}" for case in (ONE, CHIEF) for figure in ("seconds", "p99_seconds")),
)
