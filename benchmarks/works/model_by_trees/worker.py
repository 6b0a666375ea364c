"""A worker: `python worker.py MODEL ROWS OUT [STAGE]` holds the whole model or a stage of it, and adds its trees for every row.

A stage reads `sums-<stage − 1>.npy` of OUT, which the one before it left there, and leaves its own; so the workers may run one after the other on a
machine of few cores, each as it would beside the others.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.works.model_by_trees import inputs
from inference.boosters.ensemble import predict
from inference.boosters.scores import WHOLE
from inference.model.loading import load
from inference.stages import load_stage

BATCH = 1_000
MEMORY_BYTES = 4 << 30


def resident() -> int:
    """What this process holds."""
    held: int = psutil.Process().memory_info().rss
    return held


def main(model: Path, count: int, out: Path, stage: int | None) -> None:
    """Answer all rows; what was measured goes to `told-<stage>.json`."""
    table = inputs.rows(count, seed=1)
    base_bytes = resident()
    if stage is None:
        loaded = load(model)
        matrix = loaded.manifest.encoding.matrix(table)
        predict(loaded.trees, matrix[:1])
        held_bytes, started = resident() - base_bytes - matrix.nbytes, time.monotonic()
        result = np.concatenate([predict(loaded.trees, matrix[start : start + BATCH]) for start in range(0, count, BATCH)])
        name = "whole"
    else:
        manifest, own = load_stage(model, stage, shard_memory_bytes=MEMORY_BYTES)
        matrix = manifest.encoding.matrix(table)
        sums = np.load(out / f"sums-{stage - 1}.npy") if stage else np.zeros((count, 1))
        shard = np.full(count, WHOLE, dtype=np.int64)
        own.add(sums[:1], matrix[:1], shard[:1])
        held_bytes, started = resident() - base_bytes - matrix.nbytes, time.monotonic()
        parts = [slice(start, start + BATCH) for start in range(0, count, BATCH)]
        result = np.concatenate([own.add(sums[part], matrix[part], shard[part]) for part in parts])
        if own.is_last:
            result = own.score(result, shard)
        name = str(stage)
    np.save(out / f"sums-{name}.npy", result)
    (out / f"told-{name}.json").write_text(json.dumps({"seconds": time.monotonic() - started, "worker_bytes": held_bytes}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else None)
