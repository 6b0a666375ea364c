"""Asks our reader: `python ours.py ADDRESS INPUTS OUT SECONDS CASE...`."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.online.calls import timed
from benchmarks.online.cases import CALLS, Case, keys_of, named
from benchmarks.online.inputs import DELAY_MS, END_MS, KEYS, TILE_MS, VIEWS, plan
from benchmarks.online.store import fill
from features.plan import ServicePlan
from inference.online.connection import connect
from inference.online.reader import OnlineReader
from inference.online.requests import Requests
from inference.online.served import Served
from schemas.machine_code import keep_in


def main(address: str, inputs: Path, out: Path, seconds: float, cases: list[Case]) -> None:
    """Fill the store, then measure every case."""
    keep_in(inputs / "machine_code")
    store, compiled = connect(address), plan()
    fill(compiled, store, inputs)
    figures: dict[str, float] = {}
    for case in cases:
        service = compiled.services["one_view" if case.views == 1 else "three_views"]
        reader = OnlineReader(service, store)
        requests = [_requests(service, number, case.rows) for number in range(CALLS)]
        found, last = timed(partial(_ask, reader), requests, seconds)
        figures |= case.figures(found)
        pq.write_table(last.table, out / f"{case.name}.parquet")
    (out / "figures.json").write_text(json.dumps(figures))


def _ask(reader: OnlineReader, requests: Requests) -> Served:
    """What a model reads: its inputs as numbers."""
    served = reader.read(requests)
    assert len(served.vector) >= 1
    return served


def _requests(service: ServicePlan, number: int, rows: int) -> Requests:
    """What a call asks, as records are decoded: different keys, as of times at which the history's end is what counts."""
    rng = np.random.default_rng(number)
    times_ms = (END_MS + DELAY_MS + rng.integers(0, TILE_MS, rows)).tolist()
    columns = {key: keys_of(number, key, rows, KEYS) for key in VIEWS.values()}
    ids = [f"{number}-{row}" for row in range(rows)]
    return Requests(service.request.columns, rows, {"request_id": ids, "event_time": times_ms, **columns})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), named(sys.argv[5:]))
