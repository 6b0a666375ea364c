"""What the days that events are spread over cost the features job: a day, a month, ten years."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks import services
from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Workspace
from benchmarks.works.features import inputs, ours
from benchmarks.works.features.inputs import Payments
from infra.settings import Settings
from schemas.parquet import parquet_files

HERE = Path(__file__).parent
DAYS = {"1d": 1, "30d": 30, "10y": 3_652}
NAMES = {"1d": "1 day", "30d": "30 days", "10y": "10 years"}
COST, FILES = "cpu_us_per_event", "archive_files"
_DAY_MS, _MINUTES = 86_400_000, 1_440


def prepare(workspace: Workspace) -> list[Contender]:
    """A topic for each span, of as many events."""
    settings, truths = services.start(workspace), workspace.folder / "truths"
    settings = replace(settings, schemas=inputs.SCHEMAS, definitions=HERE / "definitions", parallelism=1)
    events = 200_000 if workspace.quick else 2_000_000
    contenders = []
    for span, days in DAYS.items():
        truth = truths / f"minutes_{span}.parquet"
        inputs.ensure(settings, truth, payments(span, events))
        work = ours.Work(settings=settings, source=f"payments_{span}", events=events, truths={f"minutes_{span}": truth})
        contender = ours.contender(NAMES[span], f"of {days:,} day{'s' * (days > 1)}, in the order of their times", work)
        contenders.append(replace(contender, run=_measured(contender.run, settings, work)))
    warm = workspace.folder / "warm"
    warm.mkdir(exist_ok=True)
    contenders[0].run(warm)  # so that the cluster's Java is compiled for the first that is measured as for the last
    shutil.rmtree(warm)
    return contenders


def payments(span: str, events: int) -> Payments:
    """Events spread over days that end where the other works' begin: none is ahead of the clock."""
    days = DAYS[span]
    return Payments(
        topic=f"payments_{span}", count=events, per_minute=events / (days * _MINUTES), start_ms=inputs.START_MS - days * _DAY_MS
    )


def _measured(run: Callable[[Path], Figures], settings: Settings, work: ours.Work) -> Callable[[Path], Figures]:
    def measured(out: Path) -> Figures:
        figures = run(out)
        files = len(parquet_files(settings.home / "archive" / work.source))
        return {**figures, COST: figures["cpu_seconds"] / work.events * 1e6, FILES: float(files)}

    return measured


BENCHMARK = Benchmark(
    title=(
        "Features by days: 2 million Avro payments of 4,000 cards over one day, 30 days and ten years of event time, as count, sum and maximum of each "
        "card's minutes; `tidemark submit features` with checkpoints, parallelism 1 and `TIDEMARK_BUNDLE_TIME=50ms`"
    ),
    prepare=prepare,
    end=services.end,
    goals=(
        Goal(name="features_10_years_cost", figure=COST, of=NAMES["10y"], to=(NAMES["1d"],), at_most=1.5),
        Goal(name="features_10_years_memory", figure="peak_bytes", of=NAMES["10y"], to=(NAMES["1d"],), at_most=1.2),
    ),
    in_quick=False,  # of a small input it would tell how fast jobs start
    warm_up=False,
    shown=("events_per_s", COST, "seconds", "peak_bytes", FILES),
)
