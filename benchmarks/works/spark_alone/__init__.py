"""The least that a backfill with Spark takes, beside the whole in DuckDB: whether three times DuckDB's time is within Spark's reach at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace, WrongAnswerError
from benchmarks.environments import python
from benchmarks.processes import measured
from benchmarks.works import backfill_flights
from benchmarks.works.backfill_flights import check, inputs

ROOT = Path(__file__).parents[3]
SPARK, JOINS, WINDOWS = "Spark alone", "DuckDB, tuned joins", "DuckDB, window frames"


def prepare(workspace: Workspace) -> list[Contender]:
    """The year, a quarter when quick."""
    history, _ = inputs.ensure(workspace.folder / "inputs", months=3 if workspace.quick else 13)
    duckdb = python(workspace.peers, "duckdb")
    right = backfill_flights.reference(duckdb, history, workspace.folder, "year")

    def nothing(out: Path) -> Figures:
        command: list[str | Path] = [sys.executable, "-m", f"{__name__}.nothing", history.events, history.requests, out / "requests"]
        return measured(command, out / "spark.log", environ={"PYTHONPATH": str(ROOT)})

    def passed(out: Path) -> None:
        wrote, read = (_rows(folder) for folder in (out / "requests", history.requests))
        if wrote != read:
            raise WrongAnswerError(f"{wrote:,} requests were written, {read:,} read")

    def same(out: Path) -> None:
        check.same(out / "training.parquet", right)

    contenders = [
        Contender(
            name=SPARK,
            role=Role.LIMIT,
            what=(
                "the session of `tidemark backfill` reads the same files, hands each row to a Python worker and back, computes nothing, "
                "and writes the requests; from start to exit"
            ),
            run=nothing,
            check=passed,
        )
    ]
    for name, file in ((JOINS, "joins.sql"), (WINDOWS, "windows.sql")):
        run = backfill_flights.in_duckdb(file, duckdb, history, workspace.folder)
        contenders.append(Contender(name=name, role=Role.PEER, what=f"`{file}`, the whole training set", run=run, check=same))
    return contenders


def _rows(folder: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in folder.rglob("*.parquet"))


BENCHMARK = Benchmark(
    title="Backfill, what Spark itself takes: the 327,346 requests of 2013 and their events, nothing computed",
    prepare=prepare,
    goals=(Goal(name="spark_alone_vs_duckdb", figure="seconds", of=SPARK, to=(JOINS, WINDOWS), at_most=3.0),),
    peers=("duckdb",),
    in_quick=False,  # of less data it says the same
)
