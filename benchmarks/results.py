"""What was measured, as plain data: medians and spreads, ratios, and on what machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.benchmark import CORES, Benchmark, Contender
from benchmarks.rounds import Samples

Results = dict[str, Any]
"""`benchmarks`: by name; `ratios`: of all of them, by name."""


def of(benchmark: Benchmark, contenders: Sequence[Contender], samples: Samples, *, quick: bool) -> Results:
    """One benchmark's results.

    Args:
        benchmark: Which.
        contenders: Who took part: all, or, where it was quick, some; a goal of another is then left out.
        samples: What was measured of each.
        quick: Whether inputs were small.
    """
    told: dict[str, dict[str, Any]] = {
        each.name: {"role": str(each.role), "what": each.what, "figures": _summary(samples[each.name]), "samples": samples[each.name]}
        for each in contenders
    }
    medians = {name: {figure: values["median"] for figure, values in each["figures"].items()} for name, each in told.items()}
    goals = {}
    for goal in benchmark.goals:
        if unknown := {goal.of, *goal.to} - medians.keys():
            if quick:
                continue
            raise ValueError(f"goal {goal.name}: no contender {', '.join(sorted(unknown))}; there are {', '.join(medians)}")
        value = goal.value(medians)
        bar = {"at_most": goal.at_most} if goal.at_most is not None else {"at_least": goal.at_least}
        goals[goal.name] = {
            "value": value,
            "figure": goal.figure,
            "of": goal.of,
            "to": list(goal.to),
            **bar,
            "reached": goal.reached(value),
        }
    return {
        "title": benchmark.title,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": benchmark.rounds,
        "machine": _machine(),
        "versions": {name: version(name) for name in ("tidemark", "pyspark", "pyarrow", "numpy")},
        "contenders": told,
        "goals": goals,
        **({"shown": list(benchmark.shown)} if benchmark.shown else {}),
    }


def merged(path: Path, name: str, result: Results) -> Results:
    """Put a benchmark's results among those of earlier runs, in the file."""
    known: Results = json.loads(path.read_text()) if path.exists() else {}
    benchmarks = dict(sorted((known.get("benchmarks", {}) | {name: result}).items()))
    ratios = {goal: told["value"] for each in benchmarks.values() for goal, told in each["goals"].items()}
    results = {"ratios": ratios, "benchmarks": benchmarks}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return results


def _summary(rounds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    columns = {figure: [sample[figure] for sample in rounds] for figure in rounds[0]}
    return {
        figure: {"median": statistics.median(values), "lowest": min(values), "highest": max(values)} for figure, values in columns.items()
    }


def _machine() -> dict[str, Any]:
    return {
        "cores": CORES,
        "cores_of_machine": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
