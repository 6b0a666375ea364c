"""Whether readers are given a record of some offsets of a topic, without waiting: for `jobs.kafka.partition_log`.

Offsets tell nothing: commits, aborts and compaction leave gaps. So it is read from there, up to the first record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException

from jobs.kafka.broker_fault import UNREACHABLE
from jobs.kafka.connection import FETCH_ONE, Connection
from jobs.kafka.reader import Polled, Reader

_LONG_S, _TELL_S = 30.0, 300.0  # after how long a question that is open is told in the log, and how often
_BATCH = 1_000
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

    def __init__(self, kafka: Connection, topic: str, *, group: str) -> None:
        """Prepare; there is no client before the first question.

        Args:
            kafka: Its connection.
            topic: Its name.
            group: Under which the topic may be read; nothing is committed.
        """
        self._kafka = kafka
        self._topic = topic
        self._group = group
        self._reader: Reader | None = None
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
        reader = self._reads()
        new = [number for number in spans if number not in self._open]
        if new:
            reader.assign({(self._topic, number): spans[number][0] for number in new})
        self._open |= {number: _Question(begin=spans[number][0], since_s=now_s) for number in new}
        found: dict[int, int] = {}
        while (polled := self._polled(reader)).messages or polled.ends:
            for message in polled.messages:
                number, offset = message.partition() or 0, message.offset() or 0
                if number in self._open and offset >= self._open[number].begin:
                    found[number] = min(offset, spans[number][1])
                    self._give_up([number])
            for (_, number), end in polled.ends.items():
                if number in self._open and end >= self._open[number].begin:
                    self._open[number].bare_to = end
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

    def _polled(self, reader: Reader) -> Polled:
        try:
            return reader.poll(_BATCH, timeout_s=0)
        except KafkaException:
            self._give_up(list(self._open))
            raise

    def _reads(self) -> Reader:
        if self._reader is None:  # what is gone by retention is no record
            consumer = self._kafka.consumer(self._group, tells_ends=True, fetch=FETCH_ONE)
            self._reader = Reader(self._kafka, consumer, passes_over=_NOT_YET)
        return self._reader

    def _give_up(self, numbers: Iterable[int]) -> None:
        places = [(self._topic, number) for number in numbers if self._open.pop(number, None) is not None]
        if places:
            self._reads().unassign(places)
