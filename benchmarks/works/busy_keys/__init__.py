"""Features read online of cards that have from one tile in a window to a thousand, beside plain values of the same in Feast and beside the server alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.benchmark import Benchmark, Contender, Figures, Role, Workspace
from benchmarks.busy.cases import CARDS, CASES, TILES, VIEW, WINDOW, Case
from benchmarks.busy.inputs import END
from benchmarks.environments import python
from benchmarks.online.valkey import valkey
from benchmarks.processes import measured
from benchmarks.works.busy_keys import check, store

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[3]
OURS, LIMIT, FEAST = "Tidemark", "HMGET alone", "Feast"
CHIEF = Case(rows=100, tiles=1_000)


def prepare(workspace: Workspace) -> list[Contender]:
    """What every card's window holds, for Feast and for the checks."""
    values = workspace.folder / "inputs"
    values.mkdir(parents=True, exist_ok=True)
    everyone = range(len(TILES) * CARDS)
    pq.write_table(store.events().answers(everyone, [END] * len(everyone), window=WINDOW), values / f"{VIEW}.parquet")
    seconds = 0.2 if workspace.quick else 2.0
    ours, feast = Path(sys.executable), python(workspace.peers, "feast")

    def run(interpreter: Path, script: str) -> Callable[[Path], Figures]:
        def once(out: Path) -> Figures:
            with valkey(out) as address:
                command = (interpreter, HERE / script, address, values, out, str(seconds))
                measured(command, out / "log", environ={"PYTHONPATH": str(ROOT)})
            found: Figures = json.loads((out / "figures.json").read_text())
            return {"seconds": found[f"{CHIEF.name}_seconds"], **found}

        return once

    def features(out: Path) -> None:
        check.features(out, values)

    return [
        Contender(
            name=OURS,
            role=Role.OURS,
            what="`OnlineReader.read` of a table of requests: a count, a sum and a maximum over 1,000 minutes, folded from tiles of a minute, of which the store keeps an hour more",
            run=run(ours, "ours.py"),
            check=features,
        ),
        Contender(
            name=LIMIT,
            role=Role.LIMIT,
            what="the same `HMGET`s of the same bytes, written beforehand, in one round trip; the replies are not looked at",
            run=run(ours, "limit.py"),
            check=check.sizes,
        ),
        Contender(
            name=FEAST,
            role=Role.PEER,
            what="`get_online_features` of the same features as plain values, precomputed, of the same cards: three numbers, whatever the card",
            run=run(feast, "in_feast.py"),
            check=features,
        ),
    ]


BENCHMARK = Benchmark(
    title="Busy keys: a read of 20 and of 100 cards that have 1, 10, 100 or 1,000 tiles in the window, three features of one view; one client, one Valkey",
    prepare=prepare,
    goals=(),
    peers=("feast",),
    shown=tuple(f"{case.name}_seconds" for case in CASES),
)
