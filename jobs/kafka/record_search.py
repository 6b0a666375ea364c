"""Whether readers are given a record of some offsets of a topic, without waiting: for `jobs.kafka.partition_log`.

Offsets tell nothing: commits, aborts and compaction leave gaps. So it is read from there, up to the first record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from jobs.kafka import committed
from jobs.kafka.broker_fault import UNREACHABLE

_LONG_S, _TELL_S = 30.0, 300.0  # after how long a question that is open is told in the log, and how often
_LITTLE = {  # one record answers; the broker sends a batch even where that is larger
    "max.partition.fetch.bytes": 1 << 16,
    "queued.max.messages.kbytes": 64,
    "queued.min.messages": 1,
}
_SOON = {"fetch.wait.max.ms": 50, "fetch.queue.backoff.ms": 20, "fetch.error.backoff.ms": 100, "topic.metadata.refresh.interval.ms": 30_000}
# A new partition, too, is known to this client only after a while.
_NOT_YET = UNREACHABLE | {KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}


@dataclass(kw_only=True)
class _Question:
    begin: int
    since_s: float
    bare_to: int = -1  # up to where all was read, and no record came
    told_s: float = float("-inf")


class RecordSearch:
    """Reads on where it is asked to, between the calls. What it has passed over is not read again while the same is asked."""

    def __init__(self, servers: str, topic: str, *, group: str) -> None:
        """Prepare; there is no client before the first question.

        Args:
            servers: Kafka's bootstrap servers.
            topic: Its name.
            group: Under which the topic may be read; nothing is committed.
        """
        self._servers = servers
        self._topic = topic
        self._group = group
        self._client: Consumer | None = None
        self._open: dict[int, _Question] = {}

    def answers(self, spans: Mapping[int, tuple[int, int]], now_s: float) -> dict[int, int]:
        """As `features.watermarks.Log.first_records`.

        Args:
            spans: All that is in question; what was, and is no longer, is given up.
            now_s: Seconds, never back.

        Raises:
            KafkaException: The broker refuses to let it be read. That it does not answer is no fault here: see `overdue`.
        """
        if not spans and not self._open:
            return {}
        self._give_up([number for number, question in self._open.items() if number not in spans or question.begin != spans[number][0]])
        if not spans:
            return {}
        client = self._consumer()
        new = [number for number in spans if number not in self._open]
        if new:
            client.incremental_assign([TopicPartition(self._topic, number, spans[number][0]) for number in new])
        self._open |= {number: _Question(begin=spans[number][0], since_s=now_s) for number in new}
        found: dict[int, int] = {}
        while (message := client.poll(0)) is not None:
            number, offset, error = message.partition(), message.offset(), message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if error.code() in _NOT_YET:  # the client goes on trying
                    continue
                self._give_up(list(self._open))
                raise KafkaException(error)
            if number not in self._open or offset is None or offset < self._open[number].begin:
                continue
            if error is not None:
                self._open[number].bare_to = offset
            else:
                found[number] = min(offset, spans[number][1])
                self._give_up([number])
        bare = {number: end for number, (_, end) in spans.items() if number in self._open and self._open[number].bare_to >= end}
        self._give_up(bare)
        return found | bare

    def overdue(self, now_s: float) -> list[str]:
        """What to say of questions that have been open for long, each now and then."""
        lines = []
        for number, question in self._open.items():
            if now_s - question.since_s >= _LONG_S and now_s - question.told_s >= _TELL_S:
                question.told_s = now_s
                lines.append(
                    f"topic {self._topic}, partition {number}: for {now_s - question.since_s:.0f} s Kafka has not told whether there is a record "
                    f"from offset {question.begin} on; event time waits for it"
                )
        return lines

    def _consumer(self) -> Consumer:
        if self._client is None:
            # What is gone by retention is no record.
            options: dict[str, str | int | bool] = {"enable.partition.eof": True, "auto.offset.reset": "earliest"}
            self._client = committed.consumer(self._servers, self._group, {**options, **_LITTLE, **_SOON})
        return self._client

    def _give_up(self, numbers: Iterable[int]) -> None:
        places = [TopicPartition(self._topic, number) for number in numbers if self._open.pop(number, None) is not None]
        if places:
            self._consumer().incremental_unassign(places)
