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
STARVED_S = 60.0
NOW_MS = 1_700_000_000_000

Row = tuple[int, int]  # partition, event time


class World:
    """A topic, a clock and the watermark under test."""

    def __init__(self, *, partitions: int = 2) -> None:
        self.now_s = 1_000.0
        self.pauses = list[float]()
        self.logs = dict.fromkeys(range(partitions), (0, 0))
        self.open_from = dict[int, int]()
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

    def publish(self, partition: int, records: int = 1) -> None:
        first, end = self.logs[partition]
        self.logs[partition] = first, end + records

    def advance(self, rows: Sequence[Row]) -> list[int | None]:
        """Read records (published before, if they were not)."""
        offsets = []
        for partition, _ in rows:
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
    world.now_s += IDLE_MS / 1000
    return world


def test_a_producer_that_sends_partition_by_partition_is_given_time() -> None:
    world = idle_world()
    world.arriving = {1: 5}
    assert world.advance([(0, 50_000)]) == [None]
    assert world.pauses == [0.25]


def test_so_it_is_when_only_one_partition_was_silent_for_long() -> None:
    world = World()
    world.advance([(0, 50), (1, 100)])
    world.now_s += IDLE_MS / 1000 - 0.5
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
    world.now_s += IDLE_MS / 1000
    assert world.tick() == 50_000 - LATENESS_MS


def test_a_partition_that_falls_silent_is_left_out_after_the_timeout_and_not_before() -> None:
    world = World()
    world.advance([(1, 100)])
    world.now_s += IDLE_MS / 1000 - 1
    assert world.advance([(0, 900)]) == [100 - LATENESS_MS]
    world.now_s += 1.5
    assert world.tick() == 900 - LATENESS_MS


def test_when_all_are_silent_the_newest_counts() -> None:
    world = World()
    world.advance([(0, 900), (1, 100)])
    assert world.tick() == 100 - LATENESS_MS
    world.now_s += IDLE_MS / 1000
    assert world.tick() == 900 - LATENESS_MS


def test_offsets_that_no_reader_is_given_do_not_hold_time_back_for_ever() -> None:
    """A transaction's marker lies behind the last record."""
    world = World()
    world.advance([(1, 100)])
    world.publish(1)
    world.now_s += STARVED_S - 1
    assert world.advance([(0, 900)]) == [100 - LATENESS_MS]
    world.now_s += STARVED_S
    assert world.advance([(0, 950)]) == [950 - LATENESS_MS]


def test_an_open_transaction_holds_time_back_however_long_it_is_open() -> None:
    """Its events may be committed yet: time that ran ahead of them would make them late."""
    world = World()
    world.advance([(0, 100), (1, 100)])
    world.publish(1, 3)
    world.open_from = {1: 1}
    for minute in range(1, 60):
        world.now_s += STARVED_S
        assert world.advance([(0, 60_000 * minute)]) == [100 - LATENESS_MS]
    world.open_from = {}
    world.publish(1)  # the marker of its commit
    world.now_s += 1
    assert world.tick() == 100 - LATENESS_MS, "what was committed is still to be read"
    assert world.advance([(1, 200), (1, 300)]) == [200 - LATENESS_MS, 300 - LATENESS_MS]


def test_an_aborted_transaction_holds_time_back_no_longer_than_other_offsets_that_no_reader_is_given() -> None:
    world = World()
    world.advance([(0, 100), (1, 100)])
    world.publish(1, 3)
    world.open_from = {1: 1}
    world.now_s += 10 * STARVED_S
    assert world.advance([(0, 900)]) == [100 - LATENESS_MS]
    world.open_from = {}
    world.publish(1)
    world.now_s += 1
    assert world.advance([(0, 900)]) == [100 - LATENESS_MS]
    world.now_s += STARVED_S
    assert world.advance([(0, 900)]) == [900 - LATENESS_MS]


def test_a_slow_reader_does_not_take_for_idle_what_it_has_not_come_to() -> None:
    world = World()
    world.publish(0, 10)
    world.publish(1, 10)
    for second in range(int(STARVED_S) - 1):
        assert world.advance([(0, second)]) == [None]
        world.now_s += 1


def test_what_a_group_has_committed_is_not_unread_after_a_restart() -> None:
    world = World()
    world.logs[1] = (10, 10)
    assert world.advance([(0, 900)]) == [None]
    world.now_s += IDLE_MS / 1000
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
