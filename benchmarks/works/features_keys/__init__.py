"""What an event costs the features job: with more keys, with more views of one source, and with one subtask instead of two."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import services
from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Workspace
from benchmarks.works.features import inputs, ours
from benchmarks.works.features.inputs import Payments
from infra.settings import Settings

HERE = Path(__file__).parent
KEYS = {"1k": 1_000, "100k": 100_000, "1m": 1_000_000}
NAMES = {"1k": "1,000 keys", "100k": "100,000 keys", "1m": "1,000,000 keys"}
VIEWS, ALONE = "100,000 keys, 4 views", "100,000 keys, parallelism 1"
ABOVE = (10, 50, 200)
FIRST = 50_000
COST = "cpu_us_per_event"
SERIAL = "busiest_thread_us_per_event"


@dataclass(frozen=True, kw_only=True)
class _Made:
    """The runtime with the topics, and where the tiles are that must come of them."""

    settings: Settings
    events: int
    truths: Path

    def contender(self, name: str, what: str, size: str, *views: str, parallelism: int = 2) -> Contender:
        definitions = HERE / ("four_views" if len(views) > 1 else "by_keys")
        work = ours.Work(
            settings=replace(self.settings, definitions=definitions, parallelism=parallelism),
            source=f"payments_{size}",
            events=self.events,
            truths={view: self.truths / f"{view}.parquet" for view in views},
            warm=True,
        )
        contender = ours.contender(name, what, work)
        return replace(contender, run=_priced(contender.run, self.events))


def prepare(workspace: Workspace) -> list[Contender]:
    """A topic for each number of keys that the events suffice for."""
    events = 200_000 if workspace.quick else 1_000_000
    made = _Made(settings=replace(services.start(workspace), schemas=inputs.SCHEMAS), events=events, truths=workspace.folder / "truths")
    sizes = [size for size, keys in KEYS.items() if keys <= events]
    for size in sizes:
        inputs.ensure(made.settings, made.truths / f"minutes_{size}.parquet", payments(size, events))
    above = [f"minutes_above_{amount}" for amount in ABOVE]
    _ensure_above(made, payments("100k", events))
    contenders = [
        *(made.contender(NAMES[size], _what(size, events), size, f"minutes_{size}") for size in sizes),
        made.contender(
            VIEWS,
            "the same events; three more views count, add and compare the amounts above 10, 50 and 200: each of them has as many tiles as the first",
            "100k",
            "minutes_100k",
            *above,
        ),
        made.contender(ALONE, "the same events and one view, with one subtask of each operator", "100k", "minutes_100k", parallelism=1),
    ]
    _warm(contenders[0], workspace.folder / "warm")
    return contenders


def _warm(contender: Contender, folder: Path) -> None:
    """Run one, so that the cluster's Java is compiled for the first that is measured as for the last."""
    folder.mkdir(exist_ok=True)
    contender.run(folder)
    shutil.rmtree(folder)


def payments(size: str, events: int) -> Payments:
    """As many events a minute as there are keys: whatever their number, there are as many tiles for an event."""
    return Payments(topic=f"payments_{size}", count=events, cards=KEYS[size], per_minute=KEYS[size], first=FIRST)


def _what(size: str, events: int) -> str:
    minutes = events // KEYS[size]
    return f"`tidemark submit features` with parallelism 2 and `TIDEMARK_BUNDLE_TIME=50ms`, one view; {minutes:,} minute{'s' * (minutes > 1)} of event time"


def _ensure_above(made: _Made, payments: Payments) -> None:
    """Write the tiles of the further views, unless they are there: as many as the first view has."""
    files = {amount: made.truths / f"minutes_above_{amount}.parquet" for amount in ABOVE}
    tiles = pq.read_metadata(made.truths / "minutes_100k.parquet").num_rows
    if all(file.exists() and pq.read_metadata(file).num_rows == tiles for file in files.values()):
        return
    events = inputs.events(payments)
    for amount, file in files.items():
        pq.write_table(inputs.tiles_of(events, above=amount), file)


def _priced(run: Callable[[Path], Figures], events: int) -> Callable[[Path], Figures]:
    def priced(out: Path) -> Figures:
        figures = run(out)
        return {**figures, COST: figures["cpu_seconds"] / events * 1e6, SERIAL: figures["busiest_thread_seconds"] / events * 1e6}

    return priced


BENCHMARK = Benchmark(
    title=(
        "Features by keys, views and subtasks: 1 million Avro payments as count, sum and maximum of each card's minutes, one event a minute of each card "
        "on average (0.63 tiles for each event and view); CPU of the Flink cluster; measured from when the job has read 50,000 events before them"
    ),
    prepare=prepare,
    end=services.end,
    goals=(
        Goal(name="features_1m_keys_cost", figure=COST, of=NAMES["1m"], to=(NAMES["1k"],), at_most=1.5),
        Goal(name="features_further_view_cost", figure=COST, of=VIEWS, to=(NAMES["100k"],), further=3, at_most=0.5),
    ),
    in_quick=False,  # of a small input it would tell how fast jobs start
    warm_up=False,
    shown=(COST, SERIAL, "events_per_s", "seconds", "peak_bytes"),
)
