"""Asks the server for what our reader reads, and does nothing with it: `python limit.py ADDRESS INPUTS OUT SECONDS CASE...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.online.calls import timed
from benchmarks.online.cases import CALLS, Case, keys_of, named
from benchmarks.online.hmget import Hmget
from benchmarks.online.inputs import KEYS, plan
from benchmarks.online.store import fill
from inference.online.redis.connection import connect
from inference.online.redis.store import RedisStore


def main(address: str, inputs: Path, out: Path, seconds: float, cases: list[Case]) -> None:
    """Fill the store, then measure every case; `bytes.json` tells how much the last call of each has read."""
    client, compiled = connect(address), plan()
    fill(compiled, RedisStore(client), inputs)
    server = Hmget(client)
    figures: dict[str, float] = {}
    read: dict[str, int] = {}
    for case in cases:
        views = compiled.services["one_view" if case.views == 1 else "three_views"].views
        calls = [server.call(views, [keys_of(number, view.keys[0].name, case.rows, KEYS) for view in views]) for number in range(CALLS)]
        found, last = timed(server.ask, calls, seconds)
        figures |= case.figures(found)
        read[case.name] = sum(len(value) for (value,) in last)
    (out / "figures.json").write_text(json.dumps(figures))
    (out / "bytes.json").write_text(json.dumps(read))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]), named(sys.argv[5:]))
