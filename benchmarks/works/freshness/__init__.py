"""From when a tile is due to when a reader has it: payments of now through both jobs into the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks import services
from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from benchmarks.live import inputs, reading
from benchmarks.live.stream import Live

OURS = "Tidemark"
RATE = 5_000
WARM_UP_S = 15
"""Of payments that are read and checked, but not measured."""
_LAST_S = 3
"""Tiles of the last seconds stay open: nothing comes that would close them."""


def prepare(workspace: Workspace) -> list[Contender]:
    """The runtime."""
    live, seconds = Live.of(workspace), 10 if workspace.quick else 60
    what = (
        f"`tidemark submit features` and `materialize`, parallelism 1; a reader asks for {len(reading.SAMPLED)} cards at each tile's end, 200 times a second, "
        f"until the answer is exact: {seconds} tiles of a second after {WARM_UP_S} that are not measured"
    )
    return [Contender(name=OURS, role=Role.OURS, what=what, run=_run(live, seconds), check=_check)]


def _run(live: Live, seconds: int) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        live.empty()
        sending_s, tile_ms, delay_ms = WARM_UP_S + seconds + _LAST_S, inputs.view().tile_ms, inputs.view().delay_ms
        with live.jobs(), live.payments(RATE, sending_s) as sender:
            started, first = time.monotonic(), sender.begin_ms // tile_ms + 1
            answers = reading.read(live.client, [number * tile_ms for number in range(first, first + WARM_UP_S + seconds)])
            took = time.monotonic() - started
        pq.write_table(answers, out / "answers.parquet")
        pq.write_table(inputs.events(sender.begin_ms, RATE, sending_s), out / "sent.parquet")
        waited = (np.asarray(answers["readable"]) - np.asarray(answers["tile_end"]) - delay_ms)[:: len(reading.SAMPLED)] / 1000
        p50, p99, most = (float(each) for each in np.quantile(waited[WARM_UP_S:], [0.5, 0.99, 1.0]))
        return {"seconds": took, "p50_seconds": p50, "p99_seconds": p99, "longest_seconds": most, "sender_behind_seconds": sender.behind_s}

    return run


def _check(out: Path) -> None:
    reading.check(pq.read_table(out / "answers.parquet"), pq.read_table(out / "sent.parquet"))


BENCHMARK = Benchmark(
    title=(
        "Freshness: from the end of a tile and the second of disorder that its view allows for, to when it is read online; "
        "5,000 payments a second of 2,000 cards, tiles of a second"
    ),
    prepare=prepare,
    end=services.end,
    goals=(Goal(name="freshness_p99", figure="p99_seconds", of=OURS, at_most=1.0),),
    in_quick=False,
    warm_up=False,
    shown=("p50_seconds", "p99_seconds", "longest_seconds", "sender_behind_seconds"),
)
