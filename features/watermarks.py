"""How far event time has come in the partitions of a topic: what decides, record by record, whether an event is late.

Flink's own idleness goes by silence alone: after a pause, the partition that is read first runs ahead of one that has unread records, and
whole hours of a burst or a replay are late. Here a partition is left out only when there is nothing of it to read, as the log says: how long
a reader takes to come to it tells nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]

NONE = -(1 << 63)
"""No time yet."""
TICK = -1
"""The partition of a row that is no record: only time has passed."""

_PAUSE_S = 1.0  # between two records of a topic: what comes then may be the beginning of a burst
_GRACE_S, _SHORT_GRACE_S = 0.25, 0.05  # from a record in one partition to the next in another: producers send partition by partition
_RECHECK_S = 0.05  # how long an answer of the log stands


class Extent(NamedTuple):
    """What a partition holds.

    Attributes:
        first: The offset of the first record that is known to be unread: what the reader has committed as read ends there.
        decided: The offset up to which all transactions are decided: readers get no further.
        end: The offset that its next record will have.
    """

    first: int
    decided: int
    end: int


class Log(Protocol):
    """What a topic holds."""

    def extents(self) -> Mapping[int, Extent]:
        """Partition → what it holds."""

    def first_records(self, spans: Mapping[int, tuple[int, int]]) -> Mapping[int, int]:
        """Where the next records lie: what transactions and compaction leave are offsets of which no reader is given a record.

        Called with all that is in question, also when that is nothing, and again until it is answered; never waits for an answer.

        Args:
            spans: Partition → `[begin, end)`, offsets up to at most `decided`.

        Returns:
            Partition → the offset of the first record of its span that readers are given; `end` where there is none.
            Without the partitions of which that is not known yet.
        """


@dataclass(kw_only=True)
class _Partition:
    high_ms: int = NONE  # newest event time
    spoke_s: float  # when a record of it was last read, or it was found
    read_to: int = 0  # the offset behind the last record read here
    first: int = 0  # of the log, when last looked: restored readers begin there, and pass over what they cannot tell us
    decided: int = 0  # of the log, when last looked
    undecided: bool = False  # a transaction was open, when last looked
    bare_to: int = 0  # no reader is given a record that is unread and lies before
    record_at: int = -1  # there, one is

    @property
    def clear_to(self) -> int:
        """The offset before which nothing is to be read."""
        return max(self.read_to, self.first, self.bare_to)

    @property
    def in_question(self) -> bool:
        """Whether it is not known if anything lies behind; of an open transaction it does not matter yet."""
        return not self.undecided and self.clear_to < self.decided and self.clear_to != self.record_at

    def see(self, extent: Extent) -> None:
        if extent.first < self.first:  # the reader goes on from further back than was thought
            self.bare_to, self.record_at = 0, -1
        self.first, self.decided, self.undecided = extent.first, extent.decided, extent.decided < extent.end

    def learn(self, record_at: int, end: int) -> None:
        self.bare_to = record_at
        self.record_at = record_at if record_at < end else -1

    def silent(self, now_s: float, idle_s: float) -> bool:
        return now_s - self.spoke_s >= idle_s

    def idle(self, now_s: float, idle_s: float) -> bool:
        # The records of an open transaction may be committed yet, and would then be late. What is in question is held.
        return self.silent(now_s, idle_s) and not self.undecided and self.clear_to >= self.decided


class Watermarks:
    """The watermark of a topic after each of its records: the least of its partitions' newest event times, less the lateness.

    A partition that has been silent for the idle timeout and has nothing unread does not hold it back; when all are, the newest counts. One with
    a record that is unread does, however long the reader takes, and one with an open transaction, as long as that is open: what it holds may yet
    be committed.
    Not restored after a fault: the caller keeps the running maximum as state.
    """

    def __init__(
        self,
        *,
        lateness_ms: int,
        idle_ms: int,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            lateness_ms: How much out of order events may be.
            idle_ms: Silence after which a partition counts as idle.
            log: Of the topic.
            clock: Seconds, never back.
            wall_ms: The time of day, ms since the epoch.
            pause: Waits for so many seconds.
        """
        self._lateness_ms = lateness_ms
        self._idle_s = idle_ms / 1000
        self._log = log
        self._clock = clock
        self._wall_ms = wall_ms
        self._pause = pause
        self._partitions: dict[int, _Partition] = {}
        self._looked_s = self._spoke_s = float("-inf")

    def advance(self, partition: Int64s, offset: Int64s, time_ms: Int64s) -> Int64s:
        """Take in a batch, in the order of reading.

        Args:
            partition: int64[n]; `TICK` for a row that is no record.
            offset: int64[n].
            time_ms: int64[n], event times; `NONE` for a record that moves no time.

        Returns:
            int64[n]: the watermark, ms since the epoch, each record itself included; `NONE` before there is one.

        Raises:
            ServiceError: The log does not answer; nothing of the batch has been taken in.
        """
        records = partition != TICK
        speaking: list[int] = np.unique(partition[records]).tolist()
        if speaking:
            self._wait_for_others(int(time_ms[records].max()))
        now = self._clock()
        self._look(now, speaking, ticked=not records.all())
        latest: dict[int, Int64s] = {}
        for number in speaking:
            own = partition == number
            state = self._partitions.setdefault(number, _Partition(spoke_s=now))
            state.spoke_s, state.read_to = now, max(state.read_to, int(offset[own].max()) + 1)
            latest[number] = np.maximum(np.maximum.accumulate(np.where(own, time_ms, NONE)), state.high_ms)
            state.high_ms = int(latest[number][-1])
        if latest:
            self._spoke_s = now
        held = [number for number, state in self._partitions.items() if not state.idle(now, self._idle_s)]
        fold = np.minimum if held else np.maximum
        times = [latest.get(number, np.int64(self._partitions[number].high_ms)) for number in held or self._partitions]
        watermark = np.full(len(partition), NONE, dtype=np.int64)
        if times:
            watermark[:] = times[0]
        for more in times[1:]:
            fold(watermark, more, out=watermark)
        return np.where(watermark == NONE, NONE, watermark - self._lateness_ms)

    def _wait_for_others(self, newest_ms: int) -> None:
        """While a partition is left out, give a replay's records for it time to arrive. Live events are all of about now, so none is left behind."""
        now = self._clock()
        live = newest_ms >= self._wall_ms() - self._idle_s * 1000
        left_out = not self._partitions or any(state.idle(now, self._idle_s) for state in self._partitions.values())
        if left_out and not live:
            self._pause(_GRACE_S if now - self._spoke_s >= _PAUSE_S else _SHORT_GRACE_S)
            self._looked_s = float("-inf")

    def _look(self, now: float, speaking: Collection[int], *, ticked: bool) -> None:
        """Ask the log where that may matter: before the first record, for silent partitions, and now and then for new ones."""
        silent = not self._partitions or any(state.silent(now, self._idle_s) for state in self._partitions.values())
        if not (silent or ticked) or now - self._looked_s < _RECHECK_S:
            return
        for number, extent in self._log.extents().items():
            self._partitions.setdefault(number, _Partition(spoke_s=now)).see(extent)
        spans = {
            number: (state.clear_to, state.decided)
            for number, state in self._partitions.items()
            if number not in speaking and state.silent(now, self._idle_s) and state.in_question
        }
        for number, record_at in self._log.first_records(spans).items():
            self._partitions[number].learn(record_at, spans[number][1])
        self._looked_s = now
