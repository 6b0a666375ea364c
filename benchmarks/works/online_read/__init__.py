"""Features read online, folded from tiles, beside Feast's precomputed values and beside the server alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from benchmarks.environments import python
from benchmarks.online import inputs
from benchmarks.online.cases import CASES, Case
from benchmarks.online.valkey import valkey
from benchmarks.processes import measured
from benchmarks.works.online_read import check
from inference.online.writer import cold_split

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[3]
OURS, LIMIT, FEAST = "Tidemark", "HMGET alone", "Feast"
CHIEF = Case(rows=100, views=3)
SHOWN = [Case(rows=1, views=3), CHIEF, Case(rows=1_000, views=3), Case(rows=100, views=1)]


def prepare(workspace: Workspace) -> list[Contender]:
    """The history of tiles, and the features at its end; all cases."""
    return contenders(workspace, CASES, CHIEF)


def contenders(workspace: Workspace, cases: Sequence[Case], chief: Case) -> list[Contender]:
    """Who reads: ours, the server alone and Feast.

    Args:
        workspace: Where the inputs go.
        cases: What is measured.
        chief: The case of which a contender's `seconds` are.
    """
    history = workspace.folder / "inputs"
    inputs.ensure(history)
    seconds = 0.2 if workspace.quick else 2.0
    ours = Path(sys.executable)
    feast = python(workspace.peers, "feast")

    def run(interpreter: Path, script: str) -> Callable[[Path], Figures]:
        def once(out: Path) -> Figures:
            with valkey(out) as address:
                command = (interpreter, HERE / script, address, history, out, str(seconds))
                measured([*command, *(case.name for case in cases)], out / "log", environ={"PYTHONPATH": str(ROOT)})
            found: Figures = json.loads((out / "figures.json").read_text())
            return {"seconds": found[f"{chief.name}_seconds"], **found}

        return once

    least_ms, step_ms = cold_split(inputs.plan().views["card_activity"], inputs.SLACK_MS)
    held = f"{least_ms / inputs.HOUR_MS:g} to {(least_ms + step_ms) / inputs.HOUR_MS:g}"

    def features(out: Path) -> None:
        check.features(out, history, cases)

    return [
        Contender(
            name=OURS,
            role=Role.OURS,
            what=f"`OnlineReader.read` of requests as they are decoded, each as of its own time, and the model's inputs as numbers: an `HMGET` per key and entity; of the 27 hours of tiles that the store keeps, each value has the last {held}; 6 features folded from them",
            run=run(ours, "ours.py"),
            check=features,
        ),
        Contender(
            name=LIMIT,
            role=Role.LIMIT,
            what="the same `HMGET`s of the same bytes, written beforehand, in one round trip; the replies are not looked at",
            run=run(ours, "limit.py"),
            check=lambda out: check.sizes(out, history, cases),
        ),
        Contender(
            name=FEAST,
            role=Role.PEER,
            what="`get_online_features` of the same features as plain values, precomputed; without turning its answer into a table",
            run=run(feast, "in_feast.py"),
            check=features,
        ),
    ]


BENCHMARK = Benchmark(
    title="Online read: a call for requests of different keys, 6 features of each view; one client, one Valkey",
    prepare=prepare,
    goals=(
        Goal(name="online_read_vs_feast", figure=f"{CHIEF.name}_seconds", of=OURS, to=(FEAST,), at_least=10.0),
        Goal(name="online_read_100_rows_p99", figure=f"{CHIEF.name}_p99_seconds", of=OURS, at_most=0.003),
    ),
    peers=("feast",),
    shown=tuple(f"{case.name}_{figure}" for case in SHOWN for figure in ("seconds", "p99_seconds")),
)
