"""The training set of all flights of 2013: 327,346 requests with 24 real-time features from four views and the label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.backfill import backfill
from tests.benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from tests.benchmarks.environments import python
from tests.benchmarks.processes import measured
from tests.benchmarks.works.backfill_flights import check, inputs
from tests.benchmarks.works.backfill_flights.inputs import Inputs

HERE = Path(__file__).parent
OURS, DOUBLED, DUCKDB, FEAST_FILE, FEAST_DUCKDB = (
    "Tidemark",
    "Tidemark, twice the events",
    "DuckDB, by hand",
    "Feast, file store",
    "Feast, DuckDB store",
)


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A history, and what should come of it."""

    inputs: Inputs
    reference: Path


def prepare(workspace: Workspace) -> list[Contender]:
    """The year (a quarter when quick), the right answer, and the values that Feast is given."""
    folder = workspace.folder
    year, doubled = inputs.ensure(folder / "inputs", months=3 if workspace.quick else 13)
    duckdb = python(workspace.peers, "duckdb")
    cases = {}
    for name, history in (("year", year), ("doubled", doubled)):
        reference = folder / f"{name}.parquet"
        _in_duckdb(duckdb, history, folder)(folder)
        (folder / "training.parquet").replace(reference)
        check.by_the_oracle(reference, history)
        cases[name] = _Case(inputs=history, reference=reference)
    asked = inputs.write_for_feast(cases["year"].reference, folder / "values")
    feast = python(workspace.peers, "feast")
    contenders = [
        _ours(OURS, "`tidemark backfill --label`, from start to exit: a checked, committed file per day", cases["year"]),
        _duckdb(duckdb, cases["year"], folder),
        _feast(
            FEAST_FILE, "`get_historical_features` of precomputed values, in parts of two days, each a call", feast, asked, cases["year"]
        ),
    ]
    if not workspace.quick:
        told = "`get_historical_features` of precomputed values, all in one call"
        contenders.append(_feast(FEAST_DUCKDB, told, feast, asked, cases["year"]))
        contenders.append(_ours(DOUBLED, "the same command, with the year after it: 654,692 requests", cases["doubled"]))
    return contenders


def _ours(name: str, what: str, case: _Case) -> Contender:
    def run(out: Path) -> Figures:
        history = case.inputs
        return backfill("flights", HERE / "definitions", events=history.events, requests=history.requests, out=out / "training", label=True)

    return Contender(name=name, role=Role.OURS, what=what, run=run, check=lambda out: check.same(out / "training", case.reference))


def _duckdb(interpreter: Path, case: _Case, folder: Path) -> Contender:
    run = _in_duckdb(interpreter, case.inputs, folder)
    what = "`features.sql`: hash joins by hours and one aggregation per view, from start to exit: one file"
    return Contender(
        name=DUCKDB, role=Role.PEER, what=what, run=run, check=lambda out: check.same(out / "training.parquet", case.reference)
    )


def _in_duckdb(interpreter: Path, history: Inputs, folder: Path) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        command = [interpreter, HERE / "in_duckdb.py", history.events, history.requests, out / "training.parquet"]
        return measured(command, folder / "duckdb.log")

    return run


def _feast(name: str, what: str, interpreter: Path, asked: Path, case: _Case) -> Contender:
    kind = "file" if name == FEAST_FILE else "duckdb"

    def run(out: Path) -> Figures:
        return measured([interpreter, HERE / "in_feast.py", kind, asked.parent, asked, out], asked.parent / f"{kind}.log")

    def right(out: Path) -> None:
        (out / "registry.db").unlink()
        check.same(out, case.reference, repeated=kind != "file")

    return Contender(name=name, role=Role.PEER, what=what, run=run, check=right)


BENCHMARK = Benchmark(
    title="Backfill: 327,346 requests of 2013, 24 features of four views, and the label",
    prepare=prepare,
    goals=(
        Goal(name="backfill_vs_duckdb", figure="seconds", of=OURS, to=(DUCKDB,), at_most=3.0),
        Goal(name="backfill_vs_feast", figure="seconds", of=OURS, to=(FEAST_FILE, FEAST_DUCKDB), at_least=5.0),
        Goal(name="backfill_twice_the_events", figure="seconds", of=DOUBLED, to=(OURS,), at_most=2.2),
    ),
    peers=("duckdb", "feast"),
)
