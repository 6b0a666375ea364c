"""Asks the server for what our reader reads, and does nothing with it: `python limit.py ADDRESS INPUTS OUT SECONDS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.busy.cases import CASES
from benchmarks.online.calls import timed
from benchmarks.online.hmget import Hmget
from benchmarks.works.busy_keys import store
from inference.online.redis.connection import connect


def main(address: str, out: Path, seconds: float) -> None:
    """Fill the store, then measure every case; `bytes.json` tells how much the last call of each has read."""
    client, given, (_, view) = connect(address), store.events(), store.service()
    store.fill(client, view, given)
    server = Hmget(client)
    figures: dict[str, float] = {}
    read: dict[str, int] = {}
    for case in CASES:
        found, last = timed(server.ask, [server.call([view], [cards]) for cards in store.asked(case, given)], seconds)
        figures |= case.figures(found)
        read[case.name] = sum(len(value) for (value,) in last)
    (out / "figures.json").write_text(json.dumps(figures))
    (out / "bytes.json").write_text(json.dumps(read))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[3]), float(sys.argv[4]))
