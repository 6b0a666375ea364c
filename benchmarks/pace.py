"""How fast a work goes, from a tenth of it to nine tenths: without the start of a process, nor its last batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.benchmark import CORES, Figures
from benchmarks.processes import CommandError, Family

_POLL_S = 0.1
_MOST_QUIET_S = 90.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Of one piece of the work.

    Attributes:
        seconds: Of the clock.
        cpu_seconds: What each group of processes has computed for it.
        peak_bytes: The most memory that each group has held.
    """

    seconds: float
    cpu_seconds: tuple[float, ...]
    peak_bytes: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class _Look:
    """At one time: how many pieces are done, and how long each group of processes has computed."""

    at: float
    done: int
    cpu_seconds: tuple[float, ...]


def paced(done: Callable[[], int], pieces: int, *groups: Sequence[psutil.Process], of: str) -> Pace:
    """Look at a work until it is done.

    Args:
        done: How many pieces are, now.
        pieces: How many there are.
        groups: Processes that do it, or serve it; their descendants count.
        of: Where the pieces go, for the user.

    Raises:
        CommandError: It does not go on, or was over before it could be timed.
    """
    families, looks = [[Family(process) for process in group] for group in groups], list[_Look]()
    while not looks or looks[-1].done < pieces:
        found = done()
        for family in (each for group in families for each in group):
            family.look()
        computed = tuple(sum(family.computed_seconds for family in group) for group in families)
        looks.append(_Look(at=time.monotonic(), done=found, cpu_seconds=computed))
        grew = next(look.at for look in looks if look.done == found)
        if looks[-1].at - grew > _MOST_QUIET_S:
            raise CommandError(f"{of} has {found:,} of {pieces:,} and gets no more")
        time.sleep(_POLL_S)
    first = next(look for look in looks if look.done >= pieces / 10)
    last = next(look for look in looks if look.done >= pieces * 9 / 10)
    between = last.done - first.done
    if between <= 0:
        raise CommandError(f"{of}: {pieces:,} came at once; too few to be timed")
    return Pace(
        seconds=(last.at - first.at) / between,
        cpu_seconds=tuple((after - before) / between for before, after in zip(first.cpu_seconds, last.cpu_seconds, strict=True)),
        peak_bytes=tuple(float(sum(family.peak_bytes for family in group)) for group in families),
    )


def watch(servers: str, topic: str, answers: int, processes: Sequence[psutil.Process]) -> Figures:
    """Look at a topic until it has all answers.

    Args:
        servers: Kafka's.
        topic: Of the answers, empty at first.
        answers: How many there will be.
        processes: That make them; their descendants count.

    Returns:
        `seconds` for all answers at this pace, `requests_per_s`, `requests_of_a_core_per_s`, `peak_bytes`.

    Raises:
        CommandError: No answer comes any more.
    """
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "bench-pace", "log_level": 0})
    places, records = [TopicPartition(topic, partition) for partition in range(CORES)], 0

    def done() -> int:
        nonlocal records
        records = _records(consumer, places, records)
        return records

    try:
        pace = paced(done, answers, processes, of=f"topic {topic}")
    finally:
        consumer.close()
    (cpu_seconds,), (peak_bytes,) = pace.cpu_seconds, pace.peak_bytes
    return {
        "seconds": pace.seconds * answers,
        "requests_per_s": 1 / pace.seconds,
        "requests_of_a_core_per_s": 1 / cpu_seconds,
        "peak_bytes": peak_bytes,
    }


def _records(consumer: Consumer, places: Sequence[TopicPartition], before: int) -> int:
    """How many the partitions have; of a topic that is just being made, as many as before."""
    try:
        return sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    except KafkaException:
        return before
