"""The training set of all flights of 2013: 327,346 requests with 24 real-time features from four views and the label."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backfill import backfill
from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from benchmarks.environments import python
from benchmarks.processes import measured
from benchmarks.works.backfill_flights import check, inputs
from benchmarks.works.backfill_flights.inputs import Inputs, Values

HERE = Path(__file__).parent
OURS, DOUBLED, JOINS, WINDOWS, FEAST_FILE, FEAST_DUCKDB = (
    "Tidemark",
    "Tidemark, twice the events",
    "DuckDB, tuned joins",
    "DuckDB, window frames",
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
        cases[name] = _Case(inputs=history, reference=reference(duckdb, history, folder, name))
    values = inputs.write_for_feast(cases["year"].reference, folder / "values")
    feast = python(workspace.peers, "feast")
    contenders = [
        _ours(OURS, "`tidemark backfill --label`, from start to exit: a checked, committed file per day", cases["year"]),
        _duckdb(JOINS, "`joins.sql`: hash joins by hours and one aggregation per view", duckdb, cases["year"], folder),
        _duckdb(WINDOWS, "`windows.sql`: the same in SQL's window frames", duckdb, cases["year"], folder),
        _feast_file(feast, values, cases["year"]),
    ]
    if not workspace.quick:
        contenders.append(_feast_duckdb(feast, values, cases["year"]))
        contenders.append(_ours(DOUBLED, "the same command, with the year after it: 654,692 requests", cases["doubled"]))
    return contenders


def _ours(name: str, what: str, case: _Case) -> Contender:
    def run(out: Path) -> Figures:
        history = case.inputs
        return backfill("flights", HERE / "definitions", events=history.events, requests=history.requests, out=out / "training", label=True)

    return Contender(name=name, role=Role.OURS, what=what, run=run, check=lambda out: check.same(out / "training", case.reference))


def _duckdb(name: str, what: str, interpreter: Path, case: _Case, folder: Path) -> Contender:
    run = in_duckdb("joins.sql" if name == JOINS else "windows.sql", interpreter, case.inputs, folder)
    return Contender(name=name, role=Role.PEER, what=what, run=run, check=lambda out: check.same(out / "training.parquet", case.reference))


def reference(interpreter: Path, history: Inputs, folder: Path, name: str) -> Path:
    """The right answer: DuckDB's, held to the oracle."""
    in_duckdb("joins.sql", interpreter, history, folder)(folder)
    made = (folder / "training.parquet").replace(folder / f"{name}.parquet")
    check.by_the_oracle(made, history)
    return made


def in_duckdb(features: str, interpreter: Path, history: Inputs, folder: Path) -> Callable[[Path], Figures]:
    """A training set by a file of SQL; the log goes to the folder."""

    def run(out: Path) -> Figures:
        command = [interpreter, HERE / "in_duckdb.py", HERE / features, history.events, history.requests, out / "training.parquet"]
        return measured(command, folder / "duckdb.log")

    return run


def _feast_file(interpreter: Path, values: Values, case: _Case) -> Contender:
    def run(out: Path) -> Figures:
        figures = measured([interpreter, HERE / "in_feast.py", "file", values.folder, values.sample, out], out / "feast.log")
        calls = json.loads((out / "calls.json").read_text())
        return {"seconds": figures["seconds"] + sum(calls) * (values.parts / len(calls) - 1), "peak_bytes": figures["peak_bytes"]}

    what = (
        "`get_historical_features` of precomputed values, a call for each two days (more do not fit into memory); "
        "every twelfth part was asked for, and the time of the calls multiplied"
    )
    return Contender(name=FEAST_FILE, role=Role.PEER, what=what, run=run, check=_feast_check(case, asked=values.sample, repeated=False))


def _feast_duckdb(interpreter: Path, values: Values, case: _Case) -> Contender:
    def run(out: Path) -> Figures:
        return measured([interpreter, HERE / "in_feast.py", "duckdb", values.folder, values.requests, out], out / "feast.log")

    what = "`get_historical_features` of the same precomputed values with Feast's DuckDB offline store, all in one call"
    return Contender(name=FEAST_DUCKDB, role=Role.PEER, what=what, run=run, check=_feast_check(case))


def _feast_check(case: _Case, *, asked: Path | None = None, repeated: bool = True) -> Callable[[Path], None]:
    def right(out: Path) -> None:
        for name in ("registry.db", "calls.json", "feast.log"):
            (out / name).unlink()
        check.same(out, case.reference, asked=asked, repeated=repeated)

    return right


BENCHMARK = Benchmark(
    title="Backfill: 327,346 requests of 2013, 24 features of four views, and the label",
    prepare=prepare,
    goals=(
        Goal(name="backfill_vs_duckdb", figure="seconds", of=OURS, to=(JOINS, WINDOWS), at_most=3.0),
        Goal(name="backfill_vs_duckdb_windows", figure="seconds", of=OURS, to=(WINDOWS,), at_most=3.0),
        Goal(name="backfill_vs_feast", figure="seconds", of=OURS, to=(FEAST_FILE,), at_least=5.0),
        Goal(name="backfill_vs_feast_duckdb_store", figure="seconds", of=OURS, to=(FEAST_DUCKDB,), at_least=1.0),
        Goal(name="backfill_twice_the_events", figure="seconds", of=DOUBLED, to=(OURS,), at_most=2.2),
    ),
    peers=("duckdb", "feast"),
)
