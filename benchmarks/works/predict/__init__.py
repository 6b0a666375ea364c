"""What asks a model the fastest, and whether its scores are LightGBM's: one thread, batches of one row to a thousand."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.benchmark import Benchmark, Contender, Figures, Role, Workspace
from benchmarks.environments import python
from benchmarks.predicting.agreed import SIZES
from benchmarks.processes import measured
from benchmarks.trees import LEAVES, TREES
from benchmarks.works.predict import check, inputs

ROOT = Path(__file__).parents[3]
ASK = ROOT / "benchmarks" / "predicting" / "ask.py"


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A back end that takes part.

    Attributes:
        name: In the results.
        backend: In `backends.py`.
        what: How it is asked.
        ordinary: How far at most its scores are from LightGBM's; 0: equal in every bit, as a back end must be that is to serve.
        edges: The same of rows whose values are thresholds of the trees.
    """

    name: str
    backend: str
    what: str
    ordinary: float = 0.0
    edges: float = 0.0


SERVING = _Entry(
    name="Tidemark",
    backend="tidemark",
    what="flat arrays that numba's machine code walks, the same code for every model; where it cannot, Tidemark asks LightGBM; equal in every bit",
)
REFERENCE = _Entry(name="LightGBM", backend="lightgbm", what="`Booster.predict`")
OTHERS = [
    _Entry(
        name="lleaves, trees in order",
        backend="lleaves_in_order",
        what="compiled by LLVM from a wheel, each tree in a block of its own, so that they are added in LightGBM's order; equal in every bit",
    ),
    _Entry(
        name="lleaves",
        backend="lleaves",
        what="compiled by LLVM from a wheel, as it is unless one says otherwise: trees are added block by block; **not equal**, to 1e-12",
        ordinary=1e-12,
        edges=1e-12,
    ),
    _Entry(
        name="tl2cgen",
        backend="tl2cgen",
        what="C made by treelite and tl2cgen, which gcc compiles; equal in every bit",
    ),
    _Entry(
        name="ONNX Runtime",
        backend="onnx_runtime",
        what="converted by onnxmltools, float32; **not equal**, to 1e-5, and at a threshold it may take another branch",
        ordinary=1e-5,
        edges=1.0,
    ),
]
NEEDS_A_COMPILER = "tl2cgen"


def prepare(workspace: Workspace) -> list[Contender]:
    """The model and the rows; who needs a compiler takes part where there is one."""
    given = workspace.folder / "inputs"
    inputs.ensure(given)
    peer = python(workspace.peers, "predict")
    there = [entry for entry in OTHERS if entry.backend != NEEDS_A_COMPILER or shutil.which("gcc")]
    seconds = 0.2 if workspace.quick else 2.0
    return [
        _contender(SERVING, Role.OURS, Path(sys.executable), given, seconds),
        _contender(REFERENCE, Role.PEER, Path(sys.executable), given, seconds),
        *(_contender(entry, Role.PEER, peer, given, seconds) for entry in there),
    ]


def _contender(entry: _Entry, role: Role, interpreter: Path, given: Path, seconds: float) -> Contender:
    def run(out: Path) -> Figures:
        command = (interpreter, ASK, entry.backend, given, out, str(seconds))
        peak_bytes = measured(command, out / "log", environ={"PYTHONPATH": str(ROOT)})["peak_bytes"]
        return {**json.loads((out / "figures.json").read_text()), "peak_bytes": peak_bytes, **check.differences(out, given)}

    return Contender(name=entry.name, role=role, what=entry.what, run=run, check=_within(entry, given))


def _within(entry: _Entry, given: Path) -> Callable[[Path], None]:
    return lambda out: check.within(check.differences(out, given), ordinary=entry.ordinary, edges=entry.edges)


BENCHMARK = Benchmark(
    title=(
        f"Predict: {TREES} trees of {LEAVES} leaves, {inputs.COLUMNS} columns with nulls, one thread, batches of "
        f"{', '.join(f'{size:,}' for size in SIZES)} rows; a back end that is to serve gives LightGBM's scores in every bit"
    ),
    prepare=prepare,
    goals=(),
    peers=("predict",),
    shown=(*(f"batch_{size}_rows_per_s" for size in SIZES), "compile_seconds", "load_seconds", "peak_bytes", check.ORDINARY, check.EDGES),
)
