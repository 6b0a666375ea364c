"""LightGBM alone: `python predict_alone.py MODEL REDIS ROWS OUT`, features read before; the time of the predictions to OUT as JSON, and they beside it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np

from benchmarks.scoring import inputs
from inference.model.manifest import MODEL_FILE, Manifest
from inference.online.connection import connect
from inference.online.reader import OnlineReader

BATCH, PART = 1_000, 20_000


def main(model: Path, redis: str, rows: int, out: Path) -> None:
    """Predict the rows of the requests, in batches, on one core."""
    booster, encoding = lgb.Booster(model_file=model / MODEL_FILE), Manifest.read(model).encoding
    reader, requests = OnlineReader(inputs.service(), connect(redis)), inputs.requests(rows)
    parts = [reader.read(requests.slice(start, PART)).table for start in range(0, rows, PART)]
    matrix = np.concatenate([encoding.matrix(part) for part in parts])
    started, before = time.monotonic(), time.process_time()
    scores = [booster.predict(matrix[start : start + BATCH], num_threads=1) for start in range(0, rows, BATCH)]
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - before
    np.save(out.with_name("scores.npy"), np.concatenate(scores))
    out.write_text(json.dumps({"seconds": seconds, "requests_per_s": rows / seconds, "requests_of_a_core_per_s": rows / cpu_seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
