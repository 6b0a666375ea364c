"""Asks our reader: `python ours.py ADDRESS INPUTS OUT SECONDS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.busy.cases import CASES
from benchmarks.busy.inputs import END, requests
from benchmarks.online.calls import timed
from benchmarks.works.busy_keys import store
from inference.online.reader import OnlineReader
from inference.online.redis.connection import connect
from inference.online.redis.store import RedisStore


def main(address: str, out: Path, seconds: float) -> None:
    """Fill the store, then measure every case."""
    client, given, (service, view) = connect(address), store.events(), store.service()
    store.fill(client, view, given)
    reader = OnlineReader(service, RedisStore(client))
    figures: dict[str, float] = {}
    for case in CASES:
        calls = [requests(cards, END, view, seed=number) for number, cards in enumerate(store.asked(case, given))]
        found, last = timed(reader.read, calls, seconds)
        figures |= case.figures(found)
        pq.write_table(last.table, out / f"{case.name}.parquet")
    (out / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[3]), float(sys.argv[4]))
