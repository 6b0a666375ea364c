"""Kafka transactions that stay open: what each holds back of a partition, since when, and how it ends.

librdkafka offers neither of Kafka's questions about them (DescribeProducers, ListTransactions; asked for at confluent-kafka 2.16). So where one begins is
the last stable offset, since when is the time of the record there, and whether it stays is seen by looking twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaException

from jobs.kafka import admin
from jobs.kafka.broker_fault import UNREACHABLE, broker_fault
from jobs.kafka.committed import End, Place
from jobs.kafka.connection import FETCH_ONE, Connection
from jobs.kafka.reader import Reader
from schemas.errors import ServiceError
from schemas.times import show_ms
from schemas.wording import beside, quantity, span

LONG_S = 30.0
"""From when on a transaction is told: those of stream processors last from one checkpoint to the next, which is seconds, and have no need of a word."""

_TELL_S = 300.0  # how often the log of a job tells of the same one
_APART_S = 2.0  # between two looks: where the records bear times of their own, one transaction after another looks like one that stays
_ANSWER_S = 5.0
_BATCH = 100
_GROUP = "tidemark.open-transactions"  # has read nothing ever, as nothing is committed under it


@dataclass(frozen=True, kw_only=True)
class OpenTransaction:
    """One that has stayed open while it was looked at: the earliest of its partition.

    Attributes:
        place: The topic and the partition.
        end: Where the partition ends for readers, which is where the transaction begins, and for the broker.
        began_ms: The time that its first record bears, its producer's unless the topic has the broker's; None where it was not to be read.
    """

    place: Place
    end: End
    began_ms: int | None

    def told(self, *, servers: str, longest_ms: int | None, now_ms: int) -> str:
        """What it holds back, since when, and how it ends, in one line.

        Args:
            servers: Of Kafka.
            longest_ms: How long the broker lets one stay open; None where that is not known.
            now_ms: The clock's time.
        """
        topic, partition = self.place
        limit = "its transaction.timeout.ms" if longest_ms is None else f"its transaction.timeout.ms, at most {span(longest_ms)}"
        said, could_be = held(self.place, self.end), False
        if self.began_ms is not None:
            age_ms = now_ms - self.began_ms
            said += f"; its first record is of {show_ms(self.began_ms)}, {beside('now', -age_ms)}"
            could_be = age_ms >= 0 and (longest_ms is None or age_ms <= longest_ms)
        if could_be:
            said += f"; its producer ends it, or one that starts with the same transactional.id, or the broker after {limit}"
            command, does = "describe-producers", "names the producer"
        else:  # nothing tells whether records bear the clock's time
            said += f"; a transaction that the broker has not ended after {limit}, is one that it has lost track of"
            command, does = f"abort --start-offset {self.end.decided}", "ends it"
        return f"{said}: `kafka-transactions.sh --bootstrap-server {servers} {command} --topic {topic} --partition {partition}` {does}"


def held(place: Place, end: End) -> str:
    """What an open transaction holds back of a partition."""
    topic, partition = place
    return f"topic {topic}, partition {partition}: an open transaction holds back {quantity(end.undecided, 'record')} from offset {end.decided} on"


def lasting(
    kafka: Connection, topics: Iterable[str], *, now_ms: int | None = None, pause: Callable[[float], None] = time.sleep
) -> list[OpenTransaction]:
    """Those of topics that have been open for `LONG_S`, as far as their records tell; those of which they do not tell, if they stay for two looks.

    Args:
        kafka: Its connection.
        topics: Names; of those that are not there it has none.
        now_ms: The clock's time, when it is another.
        pause: Between the two looks; nothing is waited for where the first finds none.

    Raises:
        ServiceError: The broker does not answer or refuses.
    """
    names = sorted(set(topics))
    undecided = admin.undecided(kafka, names)
    began = _first_times(kafka, {place: end.decided for place, end in undecided.items()})
    clock_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    suspects = {place for place in undecided if not _is_young(began.get(place), clock_ms)}
    if not suspects:
        return []
    pause(_APART_S)
    return [
        OpenTransaction(place=place, end=end, began_ms=began.get(place))
        for place, end in sorted(admin.undecided(kafka, {topic for topic, _ in suspects}).items())
        if place in suspects and undecided[place].decided == end.decided
    ]


def _is_young(began_ms: int | None, now_ms: int) -> bool:
    return began_ms is not None and 0 <= now_ms - began_ms < LONG_S * 1000


def _first_times(kafka: Connection, begins: Mapping[Place, int]) -> dict[Place, int]:
    """The times of records that are not decided yet, by where they are; without those that did not come in time.

    Raises:
        ServiceError: The broker refuses.
    """
    found: dict[Place, int] = {}
    if not begins:
        return found
    deadline = time.monotonic() + _ANSWER_S
    with Reader(kafka, kafka.consumer(_GROUP, undecided=True, fetch=FETCH_ONE), passes_over=UNREACHABLE) as reader:
        reader.assign(begins)
        while found.keys() < begins.keys() and time.monotonic() < deadline:
            try:
                polled = reader.poll(_BATCH, timeout_s=0.1)
            except KafkaException as fault:
                raise broker_fault(fault, kafka, "does not tell when transactions began") from fault
            for message in polled.messages:
                place, (kind, time_ms) = (message.topic() or "", message.partition() or 0), message.timestamp()
                if message.offset() == begins[place] and kind != TIMESTAMP_NOT_AVAILABLE:
                    found[place] = time_ms
    return found


def longest_ms(kafka: Connection) -> int | None:
    """How long the broker lets a transaction stay open; None where it does not tell."""
    try:
        return int(admin.broker_setting(kafka, "transaction.max.timeout.ms"))
    except ServiceError:
        return None


class OpenTransactions:
    """Which partitions of a topic they hold back, and since when, as a job sees it that asks again and again."""

    def __init__(self, topic: str) -> None:
        """Of a topic; nothing is known yet."""
        self._topic = topic
        self._since: dict[int, tuple[int, float]] = {}  # partition → up to which offset all is decided, and since when
        self._told_s: dict[int, float] = {}

    def __len__(self) -> int:
        """How many partitions, when last seen."""
        return len(self._since)

    def see(self, ends: Mapping[int, End], now_s: float) -> list[str]:
        """Take in where partitions end; what to say of transactions that have been open for long, each now and then."""
        lines = []
        for partition, end in ends.items():
            if not end.undecided:
                self._since.pop(partition, None)
                continue
            decided, since_s = self._since.get(partition, (-1, now_s))
            if decided != end.decided:  # one is over, and another one is open
                since_s = now_s
                self._told_s.pop(partition, None)
            self._since[partition] = (end.decided, since_s)
            if now_s - since_s >= LONG_S and now_s - self._told_s.get(partition, float("-inf")) >= _TELL_S:
                self._told_s[partition] = now_s
                lines.append(
                    f"topic {self._topic}, partition {partition}: a transaction has been open for {now_s - since_s:.0f} s; "
                    f"it holds back {quantity(end.undecided, 'record')} from offset {end.decided} on, and event time with them"
                )
        return lines
