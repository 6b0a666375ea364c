"""Asks one back end: `python ask.py BACKEND INPUTS OUT SECONDS`, in the environment that has it.

The scores of all rows in batches of each size go to `scores-<size>.npy`, the figures to `figures.json`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.online.calls import timed
from benchmarks.predicting.agreed import MODEL, SIZES
from benchmarks.predicting.backends import BACKENDS

CALLS = 50


def main(backend: str, inputs: Path, out: Path, seconds: float) -> None:
    """Make what it needs of the model, then measure every size."""
    make, load = BACKENDS[backend](inputs / MODEL, out / "made")
    rows = np.load(inputs / "rows.npy")
    figures = {}
    if make is not None:
        started = time.monotonic()
        make()
        figures["compile_seconds"] = time.monotonic() - started
    started = time.monotonic()
    ask = load()
    ask(rows[:1])
    figures["load_seconds"] = time.monotonic() - started
    for size in SIZES:
        batches = [np.ascontiguousarray(rows[start : start + size]) for start in range(0, len(rows), size)]
        np.save(out / f"scores-{size}.npy", np.concatenate([ask(batch) for batch in batches]))
        found, _ = timed(ask, batches[:CALLS], seconds)
        figures[f"batch_{size}_rows_per_s"] = size / found["seconds"]
        figures["seconds"] = found["seconds"]
    (out / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
