"""What the jobs and the store hold while payments come at a steady rate, and whether it grows."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from benchmarks import services
from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace
from benchmarks.live import inputs, reading
from benchmarks.live.stream import Live
from benchmarks.processes import CommandError
from inference.online.redis.connection import Client, hmget_many
from inference.online.redis.layout import EntityKeys, packed_of, tiles_fields

OURS = "Tidemark"
RATE = 2_000
SLACK_MS = 60_000
"""Beside the window of a minute: after two minutes as many tiles are dropped as come."""
_LAST_S = 3
"""Tiles of the last seconds stay open: nothing comes that would close them."""


def prepare(workspace: Workspace) -> list[Contender]:
    """Nothing: each round begins with a runtime of its own, since one that has worked has grown already."""
    seconds = 30 if workspace.quick else 600
    what = (
        f"`tidemark submit features` and `materialize`, parallelism 1, {seconds} s, the store keeps two minutes (`TIDEMARK_TILE_SLACK=1m`); "
        "worker: the largest Python process of the jobs, at its most"
    )
    return [Contender(name=OURS, role=Role.OURS, what=what, run=_run(workspace, seconds), check=_check)]


def _run(workspace: Workspace, seconds: int) -> Callable[[Path], Figures]:
    def run(out: Path) -> Figures:
        services.end(workspace)
        started = Live.of(workspace)
        live = replace(started, settings=replace(started.settings, tile_slack_ms=SLACK_MS))
        live.empty()
        client, tile_ms = live.client, inputs.view().tile_ms
        empty = _used(client)
        with live.jobs(), live.payments(RATE, seconds + _LAST_S) as sender:
            samples = _sampled(live.taskmanager, until=sender.begin_ms / 1000 + seconds)
            answers = reading.read(client, [(sender.begin_ms // 1000 + seconds) * 1000 // tile_ms * tile_ms])
        stored = _stored(client)
        pq.write_table(answers, out / "answers.parquet")
        pq.write_table(inputs.events(sender.begin_ms, RATE, seconds + _LAST_S), out / "sent.parquet")
        workers = [float(sum(each.values())) for _, each in samples]
        taskmanager = [resident for resident, _ in samples]
        return {
            "seconds": float(seconds),
            "worker_bytes": max(max(each.values()) for _, each in samples),
            "taskmanager_bytes": max(taskmanager),
            "workers_growth_ratio": growth(workers),
            "taskmanager_growth_ratio": growth(taskmanager),
            **stored,
            "store_per_key_and_view_bytes": (_used(client) - empty) / inputs.CARDS,
        }

    return run


def growth(samples: Sequence[float]) -> float:
    """The median of the last fifth, of that of the second: the first is warm-up."""
    fifth = len(samples) // 5
    return statistics.median(samples[-fifth:]) / statistics.median(samples[fifth : 2 * fifth])


def _sampled(taskmanager: psutil.Process, *, until: float) -> list[tuple[float, dict[int, float]]]:
    """Once a second: resident bytes of the TaskManager, and of each process that it has started."""
    samples = []
    while time.time() < until:
        workers = {}
        for each in taskmanager.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                workers[each.pid] = float(each.memory_info().rss)
        if not workers:
            raise CommandError("the TaskManager has no Python worker")
        samples.append((float(taskmanager.memory_info().rss), workers))
        time.sleep(1)
    return samples


def _stored(client: Client) -> Figures:
    """Of a card's key on average: what the server says that it takes, and the bytes of its tiles."""
    view = inputs.view()
    keys = EntityKeys(view.keys, "tidemark").of_all([(card,) for card in inputs.cards()])
    (found,) = hmget_many(client, [(keys, tiles_fields(view)[:1])])
    own = [0 if (packed := packed_of(value)) is None else len(packed) for (value,) in found]
    pipeline: Any = client.pipeline(transaction=False)
    for key in keys:
        pipeline.execute_command("MEMORY USAGE", key, "SAMPLES", 0)
    taken = [size or 0 for size in pipeline.execute()]
    return {
        "key_and_view_bytes": statistics.fmean(taken),
        "tiles_own_bytes": statistics.fmean(own),
        "key_to_tiles_ratio": sum(taken) / sum(own),
    }


def _used(client: Client) -> int:
    told: Any = client.info("memory")
    return int(told["used_memory"])


def _check(out: Path) -> None:
    reading.check(pq.read_table(out / "answers.parquet"), pq.read_table(out / "sent.parquet"))


BENCHMARK = Benchmark(
    title=(
        "Memory: 10 minutes of 2,000 payments a second of 2,000 cards, tiles of a second, through both jobs into the store; growth: the median of the last "
        "two minutes, of that of the third and fourth; of the store a key's average, which has one view: its tiles' own bytes, MEMORY USAGE, and its part of used_memory"
    ),
    prepare=prepare,
    end=services.end,
    goals=(
        Goal(name="memory_of_a_worker", figure="worker_bytes", of=OURS, at_most=400e6),
        Goal(name="memory_of_workers_growth", figure="workers_growth_ratio", of=OURS, at_most=1.05),
        Goal(name="memory_of_taskmanager_growth", figure="taskmanager_growth_ratio", of=OURS, at_most=1.10),
    ),
    in_quick=False,
    warm_up=False,
    shown=(
        *("worker_bytes", "workers_growth_ratio", "taskmanager_bytes", "taskmanager_growth_ratio"),
        *("tiles_own_bytes", "key_and_view_bytes", "key_to_tiles_ratio", "store_per_key_and_view_bytes"),
    ),
)
