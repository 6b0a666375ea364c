"""The features job as a contender: from the first event of its source to the last tile of all its views."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import services
from benchmarks.benchmark import Contender, Figures, Role
from benchmarks.services import Job
from benchmarks.works.features import check
from features import catalog
from infra.settings import Settings

BUNDLE_TIME_MS = 50
"""For many events rather than a short wait: the default of 5 ms makes small batches for Python."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What it is given.

    Attributes:
        settings: Of the runtime and of the job, the definitions among them.
        source: By name.
        events: How many it has.
        truths: View → the tiles that must come, as a Parquet file: all views of the source.
        warm: Whether the topic begins with `inputs.FIRST` events, which are not measured.
    """

    settings: Settings
    source: str
    events: int
    truths: Mapping[str, Path]
    warm: bool = False


def contender(name: str, what: str, work: Work) -> Contender:
    """It."""
    settings = replace(work.settings, bundle_time_ms=BUNDLE_TIME_MS)
    plan = catalog.load(settings.definitions, settings.schemas)
    views = {view.name: view for view in plan.views_of(work.source)}
    assert views.keys() == work.truths.keys()

    def run(out: Path) -> Figures:
        services.forget(settings, "features", work.source)
        records = {view.tiles_topic: pq.read_metadata(work.truths[name]).num_rows for name, view in views.items()}
        warm = plan.sources[work.source].dead_letter_topic if work.warm else None
        job = Job(name="features", module="jobs.features", arguments=(work.source,), records=records, warm=warm)
        files = {view.tiles_topic: out / f"{name}.parquet" for name, view in views.items()}
        return on_flink(job, settings, files, events=work.events)

    def right(out: Path) -> None:
        for name, view in views.items():
            check.right(check.of_avro(out / f"{name}.parquet", view), work.truths[name])

    return Contender(name=name, role=Role.OURS, what=what, run=run, check=right)


def on_flink(job: Job, settings: Settings, files: Mapping[str, Path], *, events: int) -> Figures:
    """Run a job on empty topics, and keep what it has written in the file of each."""
    for topic in (*job.records, *([] if job.warm is None else [job.warm])):
        services.empty(settings, topic)
    started_at = time.time()
    began_at, figures = services.on_flink(settings, job)
    return {**figures, **services.written(settings, files, events=events, started_at=started_at, began_at=began_at)}
