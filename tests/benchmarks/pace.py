"""How fast answers come, from a tenth of them to nine tenths: without the start of a process, nor its last batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.benchmarks.benchmark import CORES, Figures
from tests.benchmarks.processes import CommandError, Family

_POLL_S = 0.1
_MOST_QUIET_S = 90.0


@dataclass(frozen=True, kw_only=True)
class _Look:
    """At one time: how many answers there are, and how long the processes that make them have computed."""

    at: float
    answers: int
    cpu_seconds: float


def watch(servers: str, topic: str, answers: int, processes: Sequence[psutil.Process]) -> Figures:
    """Look at a topic until it has all answers.

    Args:
        servers: Kafka's.
        topic: Of the answers, empty at first.
        answers: How many there will be.
        processes: That make them; their descendants count.

    Returns:
        `seconds` and `cpu_seconds` for all answers at the pace between the first and the last tenth, `requests_per_s`, `requests_of_a_core_per_s`, `peak_bytes`.

    Raises:
        CommandError: No answer comes any more.
    """
    families = [Family(process) for process in processes]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "bench-pace", "log_level": 0})
    places = [TopicPartition(topic, partition) for partition in range(CORES)]
    looks = [_Look(at=time.monotonic(), answers=0, cpu_seconds=0.0)]
    try:
        while looks[-1].answers < answers:
            found = _found(consumer, places, looks[-1].answers)
            for family in families:
                family.look()
            looks.append(_Look(at=time.monotonic(), answers=found, cpu_seconds=sum(family.computed_seconds for family in families)))
            grew = next(look.at for look in looks if look.answers == found)
            if looks[-1].at - grew > _MOST_QUIET_S:
                raise CommandError(f"topic {topic} has {found:,} of {answers:,} answers and gets no more")
            time.sleep(_POLL_S)
    finally:
        consumer.close()
    first = next(look for look in looks if look.answers >= answers / 10)
    last = next(look for look in looks if look.answers >= answers * 9 / 10)
    between = last.answers - first.answers
    if between <= 0:
        raise CommandError(f"topic {topic}: {answers:,} answers came at once; too few to be timed")
    seconds, cpu_seconds = ((last.at - first.at) / between, (last.cpu_seconds - first.cpu_seconds) / between)
    return {
        "seconds": seconds * answers,
        "requests_per_s": 1 / seconds,
        "requests_of_a_core_per_s": 1 / cpu_seconds,
        "peak_bytes": float(sum(family.peak_bytes for family in families)),
    }


def _found(consumer: Consumer, places: Sequence[TopicPartition], before: int) -> int:
    """How many records the partitions have; of a topic that is just being made, as many as before."""
    try:
        return sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    except KafkaException:
        return before
