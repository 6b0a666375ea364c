"""Tiles written to the online store, beside Feast's plain values and beside a pipeline that checks nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from benchmarks.environments import python
from benchmarks.online.valkey import valkey
from benchmarks.processes import measured
from benchmarks.works.online_write import check, stream

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[3]
OURS, LIMIT, FEAST, FRAMES, MESSAGES = "Tidemark", "HSET alone", "Feast", "Feast, data frames", "Feast, last step alone"


def prepare(workspace: Workspace) -> list[Contender]:
    """The history of tiles, and what comes after it: 17 hours, 3 when quick."""
    given = workspace.folder / "inputs"
    stream.ensure(given, hours=3 if workspace.quick else 17)
    ours, feast = Path(sys.executable), python(workspace.peers, "feast")

    def run(*command: str | Path) -> Callable[[Path], Figures]:
        def once(out: Path) -> Figures:
            with valkey(out) as address:
                measured((*command, address, given, out), out / "log", environ={"PYTHONPATH": str(ROOT)})
            found: Figures = json.loads((out / "figures.json").read_text())
            return found

        return once

    def values(out: Path) -> None:
        check.values(out, given)

    return [
        Contender(
            name=OURS,
            role=Role.OURS,
            what="the materializer, from Avro records of tiles and closings, 5,000 at a time: each tile merged by compare-and-set into its key's tiles of 27 hours, and counted for the frontier",
            run=run(ours, HERE / "ours.py"),
            check=lambda out: check.tiles(out, given),
        ),
        Contender(
            name=LIMIT,
            role=Role.LIMIT,
            what="redis-py, an `HSET` per tile of the same bytes, made beforehand, 2,000 in a pipeline: nothing is compared, merged or dropped",
            run=run(ours, HERE / "limit.py"),
            check=lambda out: check.records(out, given),
        ),
        Contender(
            name=FEAST,
            role=Role.PEER,
            what="`online_write_batch` of 6 plain values for each tile, from Arrow, 5,000 rows at a time, as Feast materializes; a row's time is compared with the stored one, but before the write and not in one step with it",
            run=run(feast, HERE / "in_feast.py", "arrow"),
            check=values,
        ),
        Contender(
            name=FRAMES,
            role=Role.PEER,
            what="`write_to_online_store` of the same values, from data frames",
            run=run(feast, HERE / "in_feast.py", "frames"),
            check=values,
        ),
        Contender(
            name=MESSAGES,
            role=Role.PEER,
            what="`online_write_batch` of the same values as Feast's own messages, made beforehand",
            run=run(feast, HERE / "in_feast.py", "messages"),
            check=values,
        ),
    ]


BENCHMARK = Benchmark(
    title="Online write: 97,544 tiles of three views after a history of 27 hours; one writer, one Valkey",
    prepare=prepare,
    goals=(Goal(name="online_write_vs_feast", figure="tiles_per_s", of=OURS, to=(FEAST, FRAMES), at_least=4.0),),
    peers=("feast",),
)
