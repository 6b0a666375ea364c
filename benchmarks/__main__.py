"""`make bench` and `make bench-quick`: run benchmarks, write their results, the tables of `docs/benchmarks.md`, and a page of all results."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks import environments, page, results, sizing, table
from benchmarks.benchmark import Benchmark, Workspace, WrongAnswerError, benchmarks
from benchmarks.processes import CommandError
from benchmarks.rounds import measure
from infra.settings import Settings


def main() -> int:
    """Run those that are named, or all; 1 where an output is wrong, a contender fails, or (with full inputs) a goal is not reached."""
    known = benchmarks()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(known)}; all when not given")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small inputs, one round, minutes; written to quick.json, and docs/benchmarks.md stays as it is",
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = {
        name: each
        for name, each in known.items()
        if name in arguments.names or (not arguments.names and (each.in_quick or not arguments.quick))
    }
    return max((_run(name, each, quick=arguments.quick) for name, each in chosen.items()), default=0)


def _run(name: str, benchmark: Benchmark, *, quick: bool) -> int:
    home = (Settings.load().home / "bench").absolute()
    started = time.monotonic()
    if quick:
        benchmark = replace(benchmark, rounds=1, warm_up=False)
    _tell(f"{name}: {benchmark.title}{'; here of small inputs' if quick else ''}")
    for peer in benchmark.peers:
        environments.ensure(home / "peers", peer)
    workspace = Workspace(folder=home / name / ("quick" if quick else "full"), quick=quick, peers=home / "peers")
    try:
        contenders, samples = measure(benchmark, workspace, lambda line: _tell(f"  {line}"))
    except (WrongAnswerError, CommandError) as error:
        print(f"bench: {name}: {error}", file=sys.stderr)
        return 1
    result = results.of(benchmark, contenders, samples, quick=quick)
    everything = results.merged(home / ("quick.json" if quick else "results.json"), name, result)
    if not quick:
        _publish(name, result, home / "index.html")
        _tell(f"all results that are kept: {home / 'index.html'}")
    _tell(table.markdown({"benchmarks": {name: everything["benchmarks"][name]}}))
    _tell(f"{name}: {time.monotonic() - started:.0f} s")
    return 0 if quick or all(goal["reached"] for goal in result["goals"].values()) else 1


def _publish(name: str, result: results.Results, index: Path) -> None:
    """Into the results that are kept with the code, `docs/benchmarks.md`, and a page with all of them."""
    text, kept = table.DOC.read_text(), results.merged(table.RESULTS, name, result)
    table.DOC.write_text(sizing.written(table.written(text, kept), kept))
    index.write_text(page.html(kept))


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
