"""Asks the server for what our reader reads, and does nothing with it: `python limit.py ADDRESS INPUTS OUT SECONDS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.online.calls import timed
from benchmarks.online.cases import CALLS, CASES, keys_of
from benchmarks.online.inputs import KEYS, plan
from benchmarks.online.store import fill
from features.plan import ViewPlan
from inference.online.redis.connection import connect
from inference.online.redis.layout import EntityKeys, tiles_fields
from inference.online.redis.store import RedisStore


def main(address: str, inputs: Path, out: Path, seconds: float) -> None:
    """Fill the store, then measure every case; `bytes.json` tells how much the last call of each has read."""
    client, compiled = connect(address), plan()
    fill(compiled, RedisStore(client), inputs)
    connection = client.connection_pool.get_connection()
    figures: dict[str, float] = {}
    read: dict[str, int] = {}
    for case in CASES:
        views = compiled.services["one_view" if case.views == 1 else "three_views"].views
        calls = [
            b"".join(b"".join(connection.pack_commands(_commands(view, number, case.rows))) for view in views) for number in range(CALLS)
        ]

        def ask(payload: bytes, replies: int = case.rows * case.views) -> list[Any]:
            connection.send_packed_command([payload])
            return [connection.read_response(disable_decoding=True) for _ in range(replies)]

        found, last = timed(ask, calls, seconds)
        figures |= case.figures(found)
        read[case.name] = sum(len(value) for (value,) in last)
    (out / "figures.json").write_text(json.dumps(figures))
    (out / "bytes.json").write_text(json.dumps(read))


def _commands(view: ViewPlan, call: int, rows: int) -> list[tuple[Any, ...]]:
    (key,) = view.keys
    keys = EntityKeys(view.keys, "tidemark").of_all([(value,) for value in keys_of(call, key.name, rows, KEYS)])
    return [("HMGET", each, tiles_fields(view)[0]) for each in keys]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
