"""The whole example from an empty runtime to a report: start, train, replay October, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from features.plan import FRONTIER_TOPIC
from infra import runtime
from jobs.demo import flights, home
from jobs.demo.demo import SERVICE, Demo
from jobs.demo.findings import Evidence
from jobs.demo.replay_live import replay_october
from jobs.demo.report import Findings
from jobs.demo.topic_follower import Follower
from jobs.kafka.connection import Connection


def play(demo: Demo, *, keep: bool, judge: Callable[[Evidence], Findings]) -> Findings:
    """Run it all; the runtime ends with it unless it is to be kept.

    Args:
        demo: What.
        keep: Leave the runtime with its jobs running.
        judge: Called with what there is to measure while the runtime still runs.

    Raises:
        TidemarkError: What failed, in one line, with its log.
    """
    with demo.stages.stage("2013's flights as Parquet"):
        files = flights.ensure(demo.settings.home / "data")
    demo.folder.mkdir(parents=True, exist_ok=True)
    with _runtime(demo, keep=keep):
        home.forget(demo.plan, demo.settings)
        _train_and_submit(demo, files)
        letters = [topic for view in demo.service.views for topic in (f"{view.tiles_topic}.dlq", view.source.late_topic)]
        topics = tuple(dict.fromkeys((FRONTIER_TOPIC, demo.service.predictions_topic, *demo.dead_letter_topics, *letters)))
        with Follower(kafka=Connection.of(demo.settings), topics=topics) as follower:
            events = {
                name: _load(files.events / name, source.event_time)
                for name, source in demo.plan.sources.items()
                if name != demo.service.request.name
            }
            requests = _load(files.requests, demo.service.request.event_time)
            evidence = replay_october(demo, follower, events, requests)
        with demo.stages.stage("comparing and measuring"):
            return judge(evidence)


@contextmanager
def _runtime(demo: Demo, *, keep: bool) -> Iterator[None]:
    with demo.stages.stage("Kafka, Valkey and Flink"):
        if keep:
            runtime.start(demo.settings, detach=True)
            own = None
        else:
            _, own = runtime.start(demo.settings, detach=False)
    try:
        yield
    finally:
        if own is not None:
            runtime.stop(demo.settings)
            own.wait()


def _train_and_submit(demo: Demo, files: flights.FlightFiles) -> None:
    """History up to September through Spark and LightGBM, while Flink's jobs start beside it."""
    training, model = demo.folder / "training", demo.folder / "model"
    data = ("--events", files.events, "--requests", files.requests, "--from", demo.train_from, "--until", "2013-10-01T04:00Z")
    demo.run(
        [
            demo.task("backfill of the training set", "backfill", "--service", SERVICE, *data, "--label", "--out", training, "--overwrite"),
            demo.task("training", "train", SERVICE, "--training", training, "--out", model),
        ],
        [
            demo.task("features job", "submit", "features"),
            demo.task("materialize job", "submit", "materialize"),
        ],
    )
    demo.run([demo.task("score job", "submit", "score", SERVICE, "--model", model)])


def _load(folder: Path, event_time: str) -> pa.Table:
    return ds.dataset(folder).to_table().sort_by([(event_time, "ascending")])
