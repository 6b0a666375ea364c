"""What a read, a write, a key and a backfill cost as windows grow from an hour to 90 days, exact and with hops.

One view of a count, a sum and a maximum over one window, in tiles of a minute; 20 cards with an event in every minute. The history comes into the store
by `TileWriter.write`, in the order of time and in batches of an hour, with its closings: it is as long as what the store keeps and more, so that
tiles are dropped and merged as in a stream that has run for long. Then come 26 hours minute by minute, a tile of each card at a time, and are timed. Where a
write of exact windows takes the longer the longer they are, of a week and more, the history comes by the week, and two hours are timed.

The store keeps tiles for an hour beyond the window, and not for a day as it does unless one says otherwise: of short windows a day of slack
would be most of what is held, and older tiles would leave for a value of their own, which says nothing of the window's length.

Histories end half an hour after noon, so that a window with a hop of a day has half of the hours and minutes that it has before midnight.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from benchmarks.busy import inputs
from benchmarks.busy.inputs import DAY, END, HOUR
from benchmarks.online.valkey import valkey
from benchmarks.processes import measured
from benchmarks.works.windows.cases import CARDS, CASES, HOUR_EXACT, MONTH_HOPS, Case
from benchmarks.works.windows.ours import asked_in_backfill

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[3]
_QUICK = (HOUR_EXACT, MONTH_HOPS)
_SECONDS = 0.9
"""Of reads: so few that the dearest are made ten times and not a hundred times."""
_MOST_SECONDS = 1_800


def prepare(workspace: Workspace) -> list[Contender]:
    """Nothing: each process makes its tiles from the seed."""
    return [_contender(case, workspace) for case in (_QUICK if workspace.quick else CASES)]


def _contender(case: Case, workspace: Workspace) -> Contender:
    written, seconds = (2 * HOUR, 0.2) if workspace.quick else (case.written, _SECONDS)
    by = "hour" if case.at_once == HOUR else "week"
    return Contender(
        name=case.name,
        role=Role.OURS,
        what=(
            f"{'exact' if case.hop == 1 else 'from a whole hop to the last minute'}; a history by the {by}, then {written:,} minutes one by one; "
            "`OnlineReader.read` of 20 requests, `Folder` of a day's, one every 15 minutes of each card"
        ),
        run=_run(case, written, seconds),
        check=lambda out: check(out, case),
    )


def _run(case: Case, written: int, seconds: float) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        with valkey(out) as address:
            command = (sys.executable, HERE / "ours.py", address, case.name, str(written), str(seconds), out)
            whole = measured(command, out / "log", environ={"PYTHONPATH": str(ROOT)}, most_seconds=_MOST_SECONDS)
        found: Figures = json.loads((out / "figures.json").read_text())
        return {"seconds": whole["seconds"], **found}

    return run


def check(out: Path, case: Case) -> None:
    """Compare what was read last, and what was folded, with the events themselves.

    Raises:
        WrongAnswerError: They differ, or what was read is said to be stale.
    """
    events = inputs.every_minute(CARDS, case.window + case.hop + DAY)
    everyone = range(CARDS)
    expected = events.answers(everyone, [END] * CARDS, window=case.window, hop=case.hop)
    inputs.right(pq.read_table(out / "answers.parquet"), expected)
    expected = events.answers(*asked_in_backfill(CARDS), window=case.window, hop=case.hop)
    inputs.right(pq.read_table(out / "folded.parquet"), expected)


BENCHMARK = Benchmark(
    title=(
        "Windows of an hour to 90 days: a count, a sum and a maximum over one window, tiles of a minute, 20 cards with an event a minute; the store keeps an hour more "
        "than the window; of a row read in a batch of 20, of the same row's HMGET alone, of a tile written, of a row folded by the backfill's kernel, and of a key with its accounts"
    ),
    prepare=prepare,
    goals=(
        Goal(name="window_read_30d_vs_1h", figure="read_row_seconds", of=MONTH_HOPS.name, to=(HOUR_EXACT.name,), at_most=3.0),
        Goal(name="window_write_30d_vs_1h", figure="write_tile_seconds", of=MONTH_HOPS.name, to=(HOUR_EXACT.name,), at_most=3.0),
        Goal(name="window_bytes_30d", figure="key_bytes", of=MONTH_HOPS.name, at_most=64 * 1024),
    ),
    warm_up=False,
    shown=("read_row_seconds", "hmget_row_seconds", "write_tile_seconds", "key_bytes", "fold_row_seconds"),
)
