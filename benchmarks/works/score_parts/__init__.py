"""Where the time of a scored request goes: the scorer alone, without Kafka and Flink, part by part, in batches of several sizes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.benchmark import Benchmark, Contender, Figures, Role, Workspace, WrongAnswerError
from benchmarks.online.valkey import valkey
from benchmarks.processes import measured
from benchmarks.scoring import check, inputs
from benchmarks.works.score_parts.parts import ANSWERS, FIGURES, PARTS, REST, WHOLE, figure
from inference.online.reader import OnlineReader
from inference.online.redis.connection import connect
from inference.online.redis.store import RedisStore

SIZES = (5_000, 100, 20, 1)
_READ = 20_000


def prepare(workspace: Workspace) -> list[Contender]:
    """The model, and what the store serves."""
    model, requests = workspace.folder / "model", 2_000 if workspace.quick else 20_000
    first = workspace.folder / "first"
    first.mkdir(parents=True, exist_ok=True)
    with valkey(first) as address:
        client = connect(address)
        inputs.fill(client)
        inputs.train(model, client)
        truth = OnlineReader(inputs.service(), RedisStore(client)).read(inputs.requests(requests)).table

    def run(size: int, count: int) -> Callable[[Path], Figures]:
        def once(out: Path) -> Figures:
            with valkey(out) as address:
                inputs.fill(connect(address))
                measured([sys.executable, "-m", f"{__name__}.parts", model, address, str(size), str(count), out], out / "log")
            found: Figures = json.loads((out / FIGURES).read_text())
            if found[figure(REST)] < 0:
                raise WrongAnswerError("the parts take longer than the whole: one is within another")
            return {"seconds": found[figure(WHOLE)] * count / 1e6, **found}

        return once

    def contender(size: int) -> Contender:
        count = requests if size >= 100 else requests // 10
        return Contender(
            name="one by one" if size == 1 else f"batches of {size:,}",
            role=Role.OURS,
            what=f"`Scorer.answer` in one process, {count:,} requests",
            run=run(size, count),
            check=lambda out: check.answers(pq.read_table(out / ANSWERS)["value"].to_pylist(), model, truth.slice(0, count)),
        )

    return [contender(size) for size in SIZES]


BENCHMARK = Benchmark(
    title=(
        "Where a scored request's time goes: microseconds of each part, in one process with one Valkey, without Kafka and Flink; "
        "24 features of three views, 200 trees of 63 leaves"
    ),
    prepare=prepare,
    goals=(),
    shown=tuple(map(figure, (*PARTS, REST, WHOLE))),
)
