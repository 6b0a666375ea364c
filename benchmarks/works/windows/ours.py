"""Writes, holds, reads and folds one view's tiles: `python ours.py ADDRESS CASE WRITTEN SECONDS OUT`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.busy import inputs
from benchmarks.busy.inputs import DAY, END, MINUTE_MS, SLACK, Events
from benchmarks.online.calls import timed
from benchmarks.online.hmget import Hmget
from benchmarks.works.windows.cases import CARDS, CASES, Case
from features.plan import ViewPlan
from features.point_in_time import AS_OF, ROW, Folder
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client, connect
from inference.online.redis.layout import EntityKeys
from inference.online.redis.store import RedisStore
from inference.online.store import OnlineStore
from inference.online.writer import TileWriter

ASKED_EVERY = 15
"""Minutes between a card's requests in the backfill, which is of one day."""
_CALLS = 50

Step = tuple[pa.Table, list[tuple[int, int]]]
"""Tiles, and the closings of their ends."""


def main(address: str, case: Case, written: int, seconds: float, out: Path) -> None:
    """Measure all, in the order in which it happens."""
    client, service = connect(address), inputs.service(case.view)
    (view,) = service.views
    events = history(view, written)
    store = RedisStore(client)
    written_s = _written(store, view, events, case.at_once, written)
    reader = OnlineReader(service, store)
    calls = [inputs.requests(events.cards, END, view, seed=number) for number in range(_CALLS)]
    read, last = timed(reader.read, calls, seconds)
    pq.write_table(last.table, out / "answers.parquet")
    server = Hmget(client)
    alone, _ = timed(server.ask, [server.call([view], [events.cards])], seconds)
    folded_s, folded = _folded(view, events)
    pq.write_table(folded, out / "folded.parquet")
    own, shared = _stored_bytes(client, view, events)
    figures = {
        "read_row_seconds": read["seconds"] / CARDS,
        "hmget_row_seconds": alone["seconds"] / CARDS,
        "write_tile_seconds": written_s,
        "key_bytes": own + shared,
        "key_accounts_bytes": shared,
        "fold_row_seconds": folded_s,
    }
    (out / "figures.json").write_text(json.dumps(figures))


def history(view: ViewPlan, written: int) -> Events:
    """As much as the store keeps, and an hour before that, when the first of the `written` minutes comes."""
    return inputs.every_minute(CARDS, view.longest_window_ms // MINUTE_MS + SLACK + inputs.HOUR + max(written, DAY))


def asked_in_backfill(cards: int) -> tuple[list[int], list[int]]:
    """Of each request of the backfill the card, and the minute at which its windows end."""
    ends = range(END - DAY + ASKED_EVERY, END + 1, ASKED_EVERY)
    return [card for _ in ends for card in range(cards)], [end for end in ends for _ in range(cards)]


def _written(store: OnlineStore, view: ViewPlan, events: Events, at_once: int, written: int) -> float:
    """Bring in the history, then one minute after the other; seconds for each tile of those."""
    writer, frontiers = TileWriter(view, store, slack_ms=SLACK * MINUTE_MS), store.frontiers()

    def write(steps: Iterable[Step]) -> None:
        for tiles, closings in steps:
            writer.write(tiles)
            frontiers.closed(view.name, closings)

    begin = END - written
    write(_steps(view, events, int(events.minute[0]), begin, at_once))
    minutes = list(_steps(view, events, begin, END, 1))
    started = time.perf_counter()
    write(minutes)
    return (time.perf_counter() - started) / sum(len(tiles) for tiles, _ in minutes)


def _steps(view: ViewPlan, events: Events, first: int, last: int, at_once: int) -> Iterable[Step]:
    """From the last full step on: the shorter one comes first."""
    ends = [*reversed(range(last, first, -at_once))]
    for begin, end in zip([first, *ends], ends, strict=False):
        closings = [((minute + 1) * MINUTE_MS, CARDS) for minute in range(begin, end)]
        yield events.between(begin, end).tiles(view), closings


def _folded(view: ViewPlan, events: Events) -> tuple[float, pa.Table]:
    """A day's requests of every card, as the backfill's workers fold them: seconds for each, and what came of it."""
    folder, (card, end) = Folder(view=view), asked_in_backfill(CARDS)
    tiles = events.between(END - DAY - view.longest_window_ms // MINUTE_MS, END).tiles(view)
    as_of = np.array(end) * MINUTE_MS + view.delay_ms
    asked = pa.table({ROW: np.arange(len(card)), AS_OF: as_of, "card": np.asarray(events.cards)[card]})
    folder(asked.slice(0, CARDS), tiles.slice(0, CARDS))
    started = time.perf_counter()
    found = folder(asked, tiles)
    seconds = time.perf_counter() - started
    return seconds / len(card), found.append_column("card", asked["card"])


def _stored_bytes(client: Client, view: ViewPlan, events: Events) -> tuple[float, float]:
    """Of a card on average, as MEMORY USAGE says: its own key, and its share of all others, which are the accounts'."""
    own = set(EntityKeys(view.keys, "tidemark").of_all([(card,) for card in events.cards]))
    server: Any = client
    taken = {key: server.memory_usage(key, samples=0) for key in server.scan_iter(count=1_000)}
    if not own <= taken.keys():
        raise ValueError(f"{len(own - taken.keys())} cards have no key")
    mine = sum(size for key, size in taken.items() if key in own)
    return mine / CARDS, (sum(taken.values()) - mine) / CARDS


if __name__ == "__main__":
    (chosen,) = (case for case in CASES if case.name == sys.argv[2])
    main(sys.argv[1], chosen, int(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]))
