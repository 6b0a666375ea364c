"""Answers requests in batches and tells how long each part took: `python -m … MODEL REDIS SIZE REQUESTS OUT`."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.scoring import inputs
from benchmarks.scoring.scorer import scorer
from features.tiles.packed_fold import PackedFolds
from inference import scorer as scoring
from inference.model.loading import LoadedModel
from inference.online import reader
from inference.online.redis import connection
from inference.online.redis.layout import EntityKeys
from inference.online.served import Served
from inference.prediction import PredictionEncoder
from schemas.wire import Decoder

PARTS: Mapping[str, tuple[tuple[Any, str], ...]] = {
    "decode": ((Decoder, "decode"), (scoring, "_requests")),
    "keys": ((reader, "_distinct"), (EntityKeys, "of_all"), (connection, "_hmgets")),
    "store": ((connection, "_ask"),),
    "fold": ((PackedFolds, "__call__"), (Served, "_computed")),
    "model": ((LoadedModel, "score"),),
    "encode": ((PredictionEncoder, "records"),),
}
"""What is timed, none within another: the functions of each part."""
REST, WHOLE = "rest", "whole"
FIGURES, ANSWERS = "figures.json", "answers.parquet"
_WARM_UP = 50  # batches


def figure(part: str) -> str:
    """The name of its figure."""
    return f"{part}_us_per_request"


def main(model: Path, redis: str, size: int, count: int, out: Path) -> None:
    """Answer so many requests, after some that do not count."""
    answering, bodies = scorer(model, redis), inputs.bodies(inputs.requests(count))
    batches = [bodies[start : start + size] for start in range(0, len(bodies), size)]
    for number in range(_WARM_UP):
        answering.answer(batches[number % len(batches)])
    spent: defaultdict[str, float] = defaultdict(float)
    for part, functions in PARTS.items():
        for owner, name in functions:
            setattr(owner, name, _timed(getattr(owner, name), part, spent))
    started = time.perf_counter()
    answers = [answering.answer(batch) for batch in batches]
    whole = time.perf_counter() - started
    found = {**{part: spent[part] for part in PARTS}, REST: whole - sum(spent.values()), WHOLE: whole}
    (out / FIGURES).write_text(json.dumps({figure(part): seconds / count * 1e6 for part, seconds in found.items()}))
    pq.write_table(pa.table({"value": [value for batch in answers for value in batch.values]}), out / ANSWERS)


def _timed(call: Callable[..., Any], part: str, spent: defaultdict[str, float]) -> Callable[..., Any]:
    def timed(*given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return call(*given, **named)
        finally:
            spent[part] += time.perf_counter() - started

    return timed


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
