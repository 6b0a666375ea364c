"""The services that all contenders share: the embedded runtime with Kafka and Flink, from the first contender to the last, and the topics of one run."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks.benchmark import CORES, Figures, Workspace
from benchmarks.processes import CommandError, Family, Threads, bind, measured
from infra import flink, flink_submission, runtime
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages

_POLL_S, _WARM_POLL_S = 0.2, 0.02
_QUIET_S, _MOST_QUIET_S = 3.0, 90.0


def start(workspace: Workspace) -> Settings:
    """The runtime, bound to as many cores as a contender has, until `end` or the end of this process."""
    bind()
    settings = replace(
        Settings.load(),
        home=workspace.folder / "runtime",
        parallelism=CORES,
        partitions=CORES,
        kafka=None,
        redis=None,
        flink=None,
    )
    runtime.start(settings, detach=False)
    return settings


def end(workspace: Workspace) -> None:
    """End it."""
    runtime.stop(replace(Settings.load(), home=workspace.folder / "runtime"))


def topics_there(settings: Settings) -> frozenset[str]:
    """The broker's topics."""
    return frozenset(AdminClient({"bootstrap.servers": settings.kafka_servers}).list_topics(timeout=10).topics)


def remove(settings: Settings, which: Callable[[str], bool]) -> None:
    """Remove topics, and wait until they are gone."""
    client, names = AdminClient({"bootstrap.servers": settings.kafka_servers}), list(filter(which, topics_there(settings)))
    for removed in client.delete_topics(names).values() if names else ():
        removed.result()
    deadline = time.monotonic() + 30
    while any(map(which, topics_there(settings))):
        if time.monotonic() > deadline:
            raise CommandError(f"topics are still there: {', '.join(names)}")
        time.sleep(_POLL_S)


def empty(settings: Settings, topic: str) -> None:
    """Make an output topic anew, without what Quix Streams has kept of an earlier run; the broker stamps its records with the time at which it has them."""
    remove(settings, lambda name: name == topic or name.startswith("changelog__"))
    stamped = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
    admin.create(Connection.of(settings), [topic], partitions=CORES, replication=1, config=stamped)


def forget(settings: Settings, job: str, source: str) -> None:
    """Remove what an earlier run of a job has left, so that it reads all from the beginning."""
    shutil.rmtree(settings.home / "archive" / source, ignore_errors=True)
    shutil.rmtree(settings.home / "checkpoints" / job, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job on the cluster.

    Attributes:
        name: On the cluster.
        module: Whose `main` submits it.
        arguments: For that.
        records: The topics that it writes, and how many records each has at least, when it has read all.
        warm: A topic that tells when its start is over and what is measured begins: when it has a record of each partition that the job reads.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    records: Mapping[str, int]
    warm: str | None = None


def on_flink(settings: Settings, job: Job) -> tuple[float, Figures]:
    """Submit a job, wait until it has written all its records, and cancel it.

    Returns:
        When the first of its tasks ran, or when it was warm, seconds since the epoch; and what else was measured from its submission, or from
        when it was warm: of the cluster, as `measured` tells it of a process, and `busiest_thread_seconds`, of the thread of the TaskManager
        that computed most.

    Raises:
        CommandError: It writes no more, and has not written as many.
    """
    state = runtime.running(settings)
    assert state is not None
    families = [Family(psutil.Process(service.pid)) for service in state.services if service.name.startswith("flink")]
    threads = Threads(next(psutil.Process(service.pid) for service in state.services if service.name == "flink-taskmanager"))
    before = _computed(families)
    threads.begin()
    cluster, id = (
        flink.Cluster(settings.flink_url),
        flink_submission.submit(job.module, job.arguments, name=job.name, settings=settings, fresh=True),
    )
    try:
        with _ends(settings) as ends:
            warm_at = None
            if job.warm is not None:
                warm_at, before = _warm(job.warm, ends, families)
                threads.begin()
            _wait(job, ends, [*families, threads])
        began_at = warm_at or _first_ran(settings, id)
    finally:
        cluster.cancel(id)
    computed = sum(family.computed_seconds for family in families) - before
    peak_bytes = float(sum(family.peak_bytes for family in families))
    return began_at, {"cpu_seconds": computed, "busiest_thread_seconds": threads.busiest_seconds, "peak_bytes": peak_bytes}


def _computed(families: Sequence[Family]) -> float:
    """By now, in seconds."""
    for family in families:
        family.look()
    return sum(family.computed_seconds for family in families)


def counted(settings: Settings, job: str, names: Sequence[str]) -> dict[str, int]:
    """What counters of a job's functions say, all subtasks together; Flink tells it some seconds later, and 0 before."""
    found = dict.fromkeys(names, 0)
    for vertex in _asked(settings, job, "")["vertices"]:
        path = f"/vertices/{vertex['id']}/metrics"
        ids = [metric["id"] for metric in _asked(settings, job, path) if metric["id"].rsplit(".", 1)[-1] in names]
        for metric in _asked(settings, job, f"{path}?get={','.join(map(quote, ids))}") if ids else ():
            found[metric["id"].rsplit(".", 1)[-1]] += int(metric["value"])
    return found


def _first_ran(settings: Settings, job: str) -> float:
    vertices = [vertex["id"] for vertex in _asked(settings, job, "")["vertices"]]
    subtasks = [subtask for id in vertices for subtask in _asked(settings, job, f"/vertices/{id}/subtasktimes")["subtasks"]]
    return min(int(subtask["timestamps"]["RUNNING"]) for subtask in subtasks) / 1000


def _asked(settings: Settings, job: str, path: str) -> Any:
    with urllib.request.urlopen(f"{settings.flink_url}/jobs/{job}{path}", timeout=10) as answer:
        return json.load(answer)


def in_python(command: Sequence[str | Path], out: Path) -> tuple[float, Figures]:
    """Run a program that writes when it had its first event to `began-…` in `out`, one file for each process.

    Returns:
        When the first of them had, seconds since the epoch, and what else was measured.
    """
    figures = measured([*command, out], out / "log")
    return min(float(file.read_text()) for file in out.glob("began-*")), figures


@contextmanager
def _ends(settings: Settings) -> Iterator[Callable[[str], list[int]]]:
    """Topic → where each of its partitions ends now."""
    consumer = Consumer({"bootstrap.servers": settings.kafka_servers, "group.id": "bench-ends", "log_level": 0})
    try:
        yield lambda topic: [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in range(CORES)]
    finally:
        consumer.close()


def _warm(topic: str, ends: Callable[[str], list[int]], families: Sequence[Family]) -> tuple[float, float]:
    """Wait until it has the records that tell so; when that was, and what the cluster had computed by then."""
    deadline = time.monotonic() + _MOST_QUIET_S
    while (records := sum(ends(topic))) < CORES:
        if time.monotonic() > deadline:
            raise CommandError(f"topic {topic} has {records} records after {_MOST_QUIET_S:.0f} s; {CORES} are expected")
        time.sleep(_WARM_POLL_S)
    return time.time(), _computed(families)


def _wait(job: Job, ends: Callable[[str], list[int]], processes: Sequence[Family | Threads]) -> None:
    """Until a job's topics have their records and no more come."""
    count, grew = dict.fromkeys(job.records, 0), time.monotonic()
    while True:
        for process in processes:
            process.look()
        now, found = time.monotonic(), {topic: sum(ends(topic)) for topic in job.records}
        lacking = [topic for topic, records in job.records.items() if found[topic] < records]
        if found != count:
            count, grew = found, now
        elif not lacking and now - grew > _QUIET_S:
            return
        elif now - grew > _MOST_QUIET_S:
            topic = lacking[0]
            raise CommandError(f"topic {topic} has {count[topic]:,} records and gets no more; {job.records[topic]:,} are expected")
        time.sleep(_POLL_S)


def written(settings: Settings, files: Mapping[str, Path], *, events: int, started_at: float, began_at: float) -> Figures:
    """Keep what topics hold, for the check, and tell how long it took to come.

    Args:
        settings: Of the broker.
        files: Output topic → Parquet to write, in the order of each partition.
        events: That were read for them.
        started_at: When the contender was started, seconds since the epoch.
        began_at: When it had its first event.

    Returns:
        `seconds` from its first event to its last record, as the broker had it; `events_per_s` in that time; and `start_seconds` from the
        contender's start to its first event.
    """
    last_at = 0.0
    for topic, file in files.items():
        found = list(messages(Connection.of(settings), topic))
        if not found:
            raise CommandError(f"topic {topic} is empty")
        pq.write_table(pa.table({"value": pa.array([message.value() for message in found], pa.binary())}), file)
        last_at = max(last_at, max(message.timestamp()[1] for message in found) / 1000)
    seconds = last_at - began_at
    return {"seconds": seconds, "events_per_s": events / seconds, "start_seconds": began_at - started_at}
