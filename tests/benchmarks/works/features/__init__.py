"""Two million payments of 4,000 cards as tiles of a minute, from Kafka to Kafka."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from features import catalog
from features.compiler.tile_schema import tile_avro_schema
from infra.settings import Settings
from tests.benchmarks.benchmark import Benchmark, Contender, Figures, Role, Workspace
from tests.benchmarks.works.features import check, inputs, services

HERE = Path(__file__).parent
GATE = "Tidemark"
VIEW, SOURCE, JOB = "card_minutes", "payments", "features"


def prepare(workspace: Workspace) -> list[Contender]:
    """The runtime, the events in its Kafka, and the tiles that must come of them."""
    settings, truth = services.start(workspace), workspace.folder / "tiles.parquet"
    events = 200_000 if workspace.quick else 2_000_000
    tiles = inputs.ensure(settings, truth, events)
    return [_ours(GATE, "definitions", "", settings, events, tiles, truth)]


def _ours(name: str, definitions: str, what: str, settings: Settings, events: int, tiles: int, truth: Path) -> Contender:
    own = replace(settings, definitions=HERE / definitions)
    view = catalog.load(own.definitions, own.schemas).views[VIEW]

    def run(out: Path) -> Figures:
        services.forget(own, JOB, SOURCE)
        services.empty(own, view.tiles_topic)
        began_at = time.time()
        services.on_flink(own, job=JOB, module="jobs.features", arguments=[SOURCE], topic=view.tiles_topic, records=tiles)
        return services.written(own, view.tiles_topic, out / "tiles.parquet", events=events, began_at=began_at)

    def right(out: Path) -> None:
        check.right(check.of_avro(out / "tiles.parquet", tile_avro_schema(view)), truth)

    return Contender(name=name, role=Role.OURS, what=what, run=run, check=right)


BENCHMARK = Benchmark(
    title="Features: 2 million Avro payments of 4,000 cards, count, sum and maximum of each minute, from Kafka to Kafka",
    prepare=prepare,
    end=services.end,
    goals=(),
)
