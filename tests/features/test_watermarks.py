"""The watermark of a topic beside a plain loop over its records, and what silence does to it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.watermarks import NONE, TICK, Extent, Watermarks

LATENESS_MS, IDLE_MS = 7, 10_000
IDLE_S = IDLE_MS / 1000
NOW_MS = 1_700_000_000_000

Row = tuple[int, int]  # partition, event time


class World:
    """A topic, a clock and the watermark under test."""

    def __init__(self, *, partitions: int = 2) -> None:
        self.now_s = 1_000.0
        self.pauses = list[float]()
        self.logs = dict.fromkeys(range(partitions), (0, 0))
        self.open_from = dict[int, int]()
        self.bare = set[tuple[int, int]]()  # offsets of which no reader is given a record
        self.questions = list[tuple[int, int, int]]()
        self.answers = True
        self.read = dict.fromkeys(range(partitions), 0)
        self.arriving = dict[int, int]()
        self.watermarks = Watermarks(
            lateness_ms=LATENESS_MS,
            idle_ms=IDLE_MS,
            log=self,
            clock=lambda: self.now_s,
            wall_ms=lambda: NOW_MS,
            pause=self._pause,
        )

    def extents(self) -> Mapping[int, Extent]:
        return {number: Extent(first=first, decided=self.open_from.get(number, end), end=end) for number, (first, end) in self.logs.items()}

    def first_records(self, spans: Mapping[int, tuple[int, int]]) -> Mapping[int, int]:
        self.questions += [(number, *span) for number, span in spans.items()]
        if not self.answers:
            return {}
        return {number: self._next(number, *span) for number, span in spans.items()}

    def _next(self, partition: int, begin: int, end: int) -> int:
        return next((offset for offset in range(begin, end) if (partition, offset) not in self.bare), end)

    def unread(self, partition: int) -> bool:
        first, end = self.logs[partition]
        begin = max(self.read[partition], first)
        return self._next(partition, begin, end) < end

    def publish(self, partition: int, records: int = 1) -> None:
        first, end = self.logs[partition]
        self.logs[partition] = first, end + records

    def mark(self, partition: int) -> None:
        """A transaction has ended: its marker lies in the log."""
        self.bare.add((partition, self.logs[partition][1]))
        self.publish(partition)

    def advance(self, rows: Sequence[Row]) -> list[int | None]:
        """Read records (published before, if they were not)."""
        offsets = []
        for partition, _ in rows:
            while partition != TICK and (partition, self.read[partition]) in self.bare:
                self.read[partition] += 1
            offsets.append(-1 if partition == TICK else self.read[partition])
            if partition != TICK:
                self.read[partition] += 1
                self.logs[partition] = self.logs[partition][0], max(self.logs[partition][1], self.read[partition])
        columns = ([partition for partition, _ in rows], offsets, [time for _, time in rows])
        reached = self.watermarks.advance(*(np.array(column, dtype=np.int64) for column in columns)).tolist()
        return [None if time == NONE else time for time in reached]

    def tick(self) -> int | None:
        return self.advance([(TICK, NONE)])[0]

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds
        for partition, records in self.arriving.items():
            self.publish(partition, records)


def naive(rows: Sequence[Row], partitions: int) -> list[int | None]:
    """The least of what each partition has told so far, less the lateness; none before all have."""
    high: dict[int, int] = {}
    found: list[int | None] = []
    for partition, time in rows:
        if partition != TICK and time != NONE:
            high[partition] = max(time, high.get(partition, time))
        found.append(min(high.values()) - LATENESS_MS if len(high) == partitions else None)
    return found


@given(
    rows=st.lists(st.tuples(st.sampled_from([0, 1, 2, TICK]), st.integers(-100, 100) | st.just(NONE)), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
)
def test_while_nobody_is_silent_it_is_the_least_of_the_newest(rows: list[Row], cuts: list[int]) -> None:
    world = World(partitions=3)
    for partition in range(3):
        world.publish(partition, len(rows))
    rows = [(partition, NONE if partition == TICK else time) for partition, time in rows]
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    reached = [time for begin, end in itertools.pairwise(edges) for time in world.advance(rows[begin:end])]
    assert reached == naive(rows, 3)


def test_a_partition_with_unread_records_holds_time_back_however_long_it_was_silent() -> None:
    """The burst after a pause: what is read first does not make late what is read next."""
    world = World()
    world.now_s += 3_600
    world.tick()
    world.publish(0, 1_000)
    world.publish(1, 1_000)
    assert world.advance([(0, 50_000)] * 1_000)[-1] is None
    assert world.advance([(1, 100), (1, 200)]) == [100 - LATENESS_MS, 200 - LATENESS_MS]


def idle_world(partitions: int = 2) -> World:
    """All partitions are empty, and have been found so for longer than the timeout."""
    world = World(partitions=partitions)
    world.tick()
    world.now_s += IDLE_S
    return world


def test_a_producer_that_sends_partition_by_partition_is_given_time() -> None:
    world = idle_world()
    world.arriving = {1: 5}
    assert world.advance([(0, 50_000)]) == [None]
    assert world.pauses == [0.25]


def test_so_it_is_when_only_one_partition_was_silent_for_long() -> None:
    world = World()
    world.advance([(0, 50), (1, 100)])
    world.now_s += IDLE_S - 0.5
    world.advance([(0, 200)])
    world.now_s += 0.5
    world.arriving = {1: 5}
    assert world.advance([(0, 50_000)]) == [100 - LATENESS_MS]
    assert world.pauses[-1] == 0.05
    assert world.advance([(1, 300)]) == [300 - LATENESS_MS]


def test_where_no_partition_is_left_out_nobody_waits() -> None:
    world = World()
    world.advance([(0, 100), (1, 100)])
    pauses = len(world.pauses)
    world.advance([(0, 200)])
    assert len(world.pauses) == pauses


def test_live_events_after_a_silence_are_not_held_up() -> None:
    world = idle_world()
    world.arriving = {1: 5}
    assert world.advance([(0, NOW_MS - 5_000)]) == [NOW_MS - 5_000 - LATENESS_MS]
    assert not world.pauses


def test_an_empty_partition_is_waited_for_as_long_as_any_other() -> None:
    world = World()
    assert world.advance([(0, 50_000)]) == [None]
    world.now_s += IDLE_S
    assert world.tick() == 50_000 - LATENESS_MS


def test_a_partition_that_falls_silent_is_left_out_after_the_timeout_and_not_before() -> None:
    world = World()
    world.advance([(1, 100)])
    world.now_s += IDLE_S - 1
    assert world.advance([(0, 900)]) == [100 - LATENESS_MS]
    world.now_s += 1.5
    assert world.tick() == 900 - LATENESS_MS


def test_when_all_are_silent_the_newest_counts() -> None:
    world = World()
    world.advance([(0, 900), (1, 100)])
    assert world.tick() == 100 - LATENESS_MS
    world.now_s += IDLE_S
    assert world.tick() == 900 - LATENESS_MS


STEPS = st.lists(
    st.tuples(st.sampled_from(["publish", "mark", "read", "wait", "commit"]), st.integers(0, 2), st.integers(0, 100)), max_size=40
)
WAITS_S = (1, IDLE_S, 61, 3_600)


@given(steps=STEPS)
def test_a_partition_is_left_out_where_it_was_silent_and_nothing_of_it_is_unread_and_nowhere_else(
    steps: list[tuple[str, int, int]],
) -> None:
    """Against a plain model, after every step: how long a reader takes to come to what is there does not count."""
    world = World(partitions=3)
    high, spoke_s = dict[int, int](), dict.fromkeys(range(3), world.now_s)
    world.tick()
    for what, partition, number in steps:
        world.now_s += 1
        if what == "publish":
            world.publish(partition)
        elif what == "mark":
            world.mark(partition)
        elif what == "read":
            world.advance([(partition, number)])
            high[partition], spoke_s[partition] = max(number, high.get(partition, number)), world.now_s
        elif what == "wait":
            world.now_s += WAITS_S[number % len(WAITS_S)]
        else:  # the reader tells the group how far it is
            world.logs[partition] = max(world.read[partition], world.logs[partition][0]), world.logs[partition][1]
        world.now_s += 1
        reached = world.tick()
        held = [each for each in range(3) if world.unread(each) or world.now_s - spoke_s[each] < IDLE_S]
        times = [high.get(each, NONE) for each in held or range(3)]
        expected = min(times) if held else max(times)
        assert reached == (None if expected == NONE else expected - LATENESS_MS)


def test_a_record_that_is_unread_is_never_passed_over_however_slow_the_reader_is() -> None:
    world = World()
    world.publish(0, 600)
    world.publish(1, 10)
    for minute in range(600):
        assert world.advance([(0, minute)]) == [None]
        world.now_s += 60
        assert world.tick() is None
    assert world.advance([(1, 5)]) == [5 - LATENESS_MS]


def test_what_transactions_leave_is_not_unread() -> None:
    """Their markers lie behind the last record; no reader is given one, and none lies there to be waited for."""
    world = World()
    world.advance([(1, 100)])
    world.mark(1)
    world.now_s += IDLE_S - 1
    assert world.advance([(0, 900)]) == [100 - LATENESS_MS]
    world.now_s += 1
    assert world.advance([(0, 950)]) == [950 - LATENESS_MS]


def test_what_is_in_question_holds_time_back_until_the_log_has_answered() -> None:
    world = World()
    world.advance([(0, 900), (1, 100)])
    world.mark(1)
    world.answers = False
    for _ in range(100):
        world.now_s += 60
        assert world.advance([(0, 900)]) == [100 - LATENESS_MS]
    world.answers = True
    world.now_s += 1
    assert world.advance([(0, 900)]) == [900 - LATENESS_MS]


def test_the_log_is_asked_once_and_only_of_silent_partitions_that_are_not_read_to_the_end() -> None:
    world = World(partitions=4)
    world.advance([(0, 1), (1, 1), (2, 1), (3, 1)])
    world.publish(2, 2)  # unread
    world.mark(3)
    for _ in range(100):
        world.now_s += IDLE_S
        world.publish(0, 5)
        world.advance([(0, 2), (0, 2)])
    assert world.questions == [(2, 1, 3), (3, 1, 2)]
    world.mark(3)
    world.advance([(2, 3)])
    for _ in range(10):
        world.now_s += IDLE_S
        world.tick()
    assert world.questions[2:] == [(3, 2, 3), (0, 201, 501), (2, 2, 3)]


def test_an_open_transaction_holds_time_back_however_long_it_is_open() -> None:
    """Its events may be committed yet: time that ran ahead of them would make them late."""
    world = World()
    world.advance([(0, 100), (1, 100)])
    world.mark(1)
    world.publish(1, 3)
    world.open_from = {1: 2}
    for minute in range(1, 60):
        world.now_s += 60
        assert world.advance([(0, 60_000 * minute)]) == [100 - LATENESS_MS]
    assert not world.questions, "it does not matter yet"
    world.open_from = {}
    world.mark(1)
    for _ in range(60):
        world.now_s += 60
        assert world.tick() == 100 - LATENESS_MS, "what was committed is still to be read"
    assert world.advance([(1, 200), (1, 300)]) == [200 - LATENESS_MS, 300 - LATENESS_MS]


def test_an_aborted_transaction_holds_time_back_no_longer_than_it_was_open() -> None:
    world = World()
    world.advance([(0, 100), (1, 100)])
    world.publish(1, 3)
    world.open_from = {1: 1}
    world.now_s += 600
    assert world.advance([(0, 900)]) == [100 - LATENESS_MS]
    world.bare |= {(1, 1), (1, 2), (1, 3)}
    world.mark(1)
    world.open_from = {}
    world.now_s += 1
    assert world.advance([(0, 900)]) == [900 - LATENESS_MS]


def test_a_restored_job_waits_for_what_its_group_has_not_committed() -> None:
    world = World()
    world.logs[1], world.read[1] = (5, 8), 5
    for _ in range(60):
        world.now_s += 60
        assert world.advance([(0, 900)]) == [None]
    assert world.advance([(1, 100)]) == [100 - LATENESS_MS]


@pytest.mark.parametrize("read", [0, 1])
def test_records_that_the_reader_passes_over_are_read_once_its_group_says_so(read: int) -> None:
    """It began behind them, for the last checkpoint's offsets were not committed; or Flink passes them over, being without a value."""
    world = World()
    world.advance([(0, 900)] + [(1, 100)] * read)
    world.publish(1, 3)
    for _ in range(10):
        world.now_s += 60
        assert world.tick() == (100 - LATENESS_MS if read else None)
    world.logs[1] = (read + 3, read + 3)
    world.now_s += 1
    assert world.tick() == 900 - LATENESS_MS


def test_a_reader_that_goes_on_from_further_back_than_was_thought_is_waited_for() -> None:
    world = World()
    world.mark(1)
    world.publish(1, 2)
    world.mark(1)
    world.logs[1] = (3, 4)
    world.now_s += IDLE_S
    world.advance([(0, 900)])
    world.now_s += IDLE_S
    assert world.tick() == 900 - LATENESS_MS
    world.logs[1] = (1, 4)
    world.now_s += 1
    assert world.tick() is None


def test_what_a_group_has_committed_is_not_unread_after_a_restart() -> None:
    world = World()
    world.logs[1] = (10, 10)
    assert world.advance([(0, 900)]) == [None]
    world.now_s += IDLE_S
    assert world.tick() == 900 - LATENESS_MS


def test_a_new_partition_is_found() -> None:
    world = World(partitions=1)
    world.advance([(0, 100)])
    world.logs[1], world.read[1] = (0, 3), 0
    world.now_s += 1
    world.tick()
    assert world.advance([(0, 900)]) == [None]


def test_a_log_that_does_not_answer_leaves_everything_as_it_was() -> None:
    world = World(partitions=1)

    def refuse() -> Mapping[int, Extent]:
        raise ConnectionError

    answering = world.extents
    world.extents = refuse  # type: ignore[method-assign]
    rows = (np.array([0]), np.array([0]), np.array([50_000]))
    with pytest.raises(ConnectionError):
        world.watermarks.advance(*rows)
    world.extents = answering  # type: ignore[method-assign]
    assert world.watermarks.advance(*rows).tolist() == [50_000 - LATENESS_MS]
