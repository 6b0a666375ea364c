"""What is unread of a topic, asked with the real client of a broker that is librdkafka's own and needs no JVM; Kafka itself: tests/e2e."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Mapping

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from features.watermarks import NONE, TICK, Extent, Watermarks
from jobs.kafka.broker_fault import UNREACHABLE
from jobs.kafka.committed import End
from jobs.kafka.connection import Connection
from jobs.kafka.open_transactions import OpenTransactions
from jobs.kafka.partition_log import PartitionLog
from jobs.kafka.record_search import RecordSearch
from tests.waiting import eventually

Spans = dict[int, tuple[int, int]]


class Broker:
    """One in this process, with a topic of four partitions."""

    def __init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
        (broker,) = self._producer.list_topics().brokers.values()
        self._address = broker.host, broker.port
        self.servers = f"{broker.host}:{broker.port}"

    def publish(self, partition: int, records: int) -> None:
        for _ in range(records):
            self._producer.produce("clicks", b"click", partition=partition)
        assert self._producer.flush() == 0

    def mark(self, partition: int) -> None:
        """The marker of a transaction's commit, which no client can produce; as Kafka writes it (KIP-98)."""
        key, value = struct.pack(">hh", 0, 1), struct.pack(">hi", 0, 0)
        record = b"\0\0\0" + bytes([2 * len(key)]) + key + bytes([2 * len(value)]) + value + b"\0"
        record = bytes([2 * len(record)]) + record
        transactional_control = 0x30
        batch = struct.pack(">hiqqqhii", transactional_control, 0, 1, 1, 7, 0, 0, 1) + record
        batch = struct.pack(">qiibI", 0, 9 + len(batch), 0, 2, 0) + batch
        produce, version, nobody, all_replicas = 0, 7, -1, -1
        body = struct.pack(">hhihhhi", produce, version, 1, -1, nobody, all_replicas, 30_000)
        body += struct.pack(">ih", 1, 6) + b"clicks" + struct.pack(">iii", 1, partition, len(batch)) + batch
        with socket.create_connection(self._address) as connection, connection.makefile("rb") as answer:
            connection.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", answer.read(4))
            (error,) = struct.unpack(">h", answer.read(size)[24:26])
        assert error == 0


@pytest.fixture
def broker() -> Broker:
    """Partition 0: five records, a marker, two records; 1: three records, two markers; 2: a marker; 3: nothing."""
    broker = Broker()
    for partition, records, markers in ((0, 5, 1), (0, 2, 0), (1, 3, 2), (2, 0, 1)):
        broker.publish(partition, records)
        for _ in range(markers):
            broker.mark(partition)
    return broker


@pytest.fixture
def search(broker: Broker) -> RecordSearch:
    return RecordSearch(Connection(servers=broker.servers), "clicks", group="g")


def answers(search: RecordSearch, spans: Spans) -> dict[int, int]:
    found: dict[int, int] = {}

    def all_of_them() -> bool:
        found.update(search.answers({number: span for number, span in spans.items() if number not in found}, 0.0))
        return found.keys() == spans.keys()

    eventually("the answers", all_of_them, poll_s=0.01)
    return found


def test_the_next_record_that_readers_are_given_is_found_over_markers(search: RecordSearch) -> None:
    for spans, first in (
        ({0: (0, 8)}, {0: 0}),
        ({0: (4, 8)}, {0: 4}),
        ({0: (5, 6)}, {0: 6}),  # the marker, and nothing of what has come since
        ({0: (5, 8)}, {0: 6}),
        ({0: (7, 8), 1: (3, 5), 2: (0, 1)}, {0: 7, 1: 5, 2: 1}),
        ({0: (8, 8), 1: (2, 5), 2: (0, 1)}, {0: 8, 1: 2, 2: 1}),
    ):
        assert answers(search, spans) == first


def test_what_is_not_there_yet_is_not_known_and_found_when_it_comes(broker: Broker, search: RecordSearch) -> None:
    def read_to_the_end(end: int) -> bool:
        assert search.answers({1: (end, end + 1)}, 0.0) == {}
        return search._open[1].bare_to == end

    eventually("the end", lambda: read_to_the_end(5), poll_s=0.01)
    broker.mark(1)
    assert answers(search, {1: (5, 6)}) == {1: 6}
    eventually("the end", lambda: read_to_the_end(6), poll_s=0.01)
    broker.publish(1, 1)
    assert answers(search, {1: (6, 7)}) == {1: 6}


def test_what_was_read_while_it_was_in_question_is_no_answer(broker: Broker, search: RecordSearch) -> None:
    assert search.answers({3: (0, 2)}, 0.0) == {}
    broker.publish(3, 2)
    assert answers(search, {3: (1, 2)}) == {3: 1}


def test_nothing_is_fetched_when_nothing_is_in_question(search: RecordSearch) -> None:
    assert search.answers({}, 0.0) == {}
    assert search._reader is None, "nor is there a client before the first question"
    answers(search, {0: (0, 8), 1: (4, 5)})
    assert search._reader is not None
    client = search._reader.consumer
    assert client.assignment() == []
    assert search.answers({3: (0, 1)}, 0.0) == {}
    assert [place.partition for place in client.assignment()] == [3]
    search.answers({}, 0.0)
    assert client.assignment() == []


def test_a_broker_that_does_not_answer_leaves_it_open_and_that_is_told_now_and_then(nobody: str) -> None:
    search = RecordSearch(Connection(servers=nobody), "clicks", group="g")
    for now_s in (0.0, 1.0, 29.0):
        assert search.answers({1: (7, 9)}, now_s) == {}
        assert search.overdue(now_s) == []
    said = "topic clicks, partition 1: for 30 s Kafka has not told whether there is a record from offset 7 on; event time waits for it"
    assert search.overdue(30.0) == [said]
    assert [len(search.overdue(now_s)) for now_s in (31.0, 329.0, 330.0, 331.0)] == [0, 0, 1, 0]
    assert search.answers({1: (8, 9)}, 700.0) == {}  # another question
    assert search.overdue(701.0) == []


class Saying:
    """A client that tells a fault, once."""

    def __init__(self, code: int) -> None:
        self.assigned = set[int]()
        self._said = [Fault(code)]

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.assigned |= {place.partition for place in places}

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        self.assigned -= {place.partition for place in places}

    def consume(self, most: int, timeout: float) -> list[Fault]:
        said, self._said = self._said, []
        return said


class Fault:
    def __init__(self, code: int) -> None:
        self._error = KafkaError(code)

    def partition(self) -> int:
        return 1

    def offset(self) -> int:
        return 9

    def error(self) -> KafkaError:
        return self._error


@pytest.mark.parametrize("code", sorted(UNREACHABLE | {KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}))
def test_while_a_broker_cannot_be_reached_nothing_is_known(search: RecordSearch, code: int) -> None:
    search._reads().consumer = client = Saying(code)  # type: ignore[assignment]
    assert search.answers({1: (7, 9)}, 0.0) == {}
    assert client.assigned == {1}


def test_a_broker_that_refuses_is_a_fault_and_is_asked_again(search: RecordSearch) -> None:
    search._reads().consumer = client = Saying(KafkaError.TOPIC_AUTHORIZATION_FAILED)  # type: ignore[assignment]
    with pytest.raises(KafkaException):
        search.answers({1: (7, 9)}, 0.0)
    assert client.assigned == set()
    assert search.answers({1: (7, 9)}, 0.0) == {}
    assert client.assigned == {1}


class Heard:
    """The log of a topic, and what it has answered."""

    def __init__(self, log: PartitionLog) -> None:
        self._log = log
        self.answers = dict[int, int]()

    def extents(self) -> Mapping[int, Extent]:
        return self._log.extents()

    def first_records(self, spans: Mapping[int, tuple[int, int]]) -> Mapping[int, int]:
        found = self._log.first_records(spans)
        self.answers |= found
        return found


def test_time_waits_for_records_and_not_for_markers_however_long_both_lie_there(broker: Broker) -> None:
    now_s = itertools.count(0.0, 3_600.0)
    log = Heard(PartitionLog(Connection(servers=broker.servers), "clicks", group="g"))
    watermarks = Watermarks(lateness_ms=0, idle_ms=10_000, log=log, clock=lambda: next(now_s), pause=lambda _: None)

    def reached(*records: tuple[int, int, int]) -> int:
        columns = zip(*records, strict=True)
        return int(watermarks.advance(*(np.array(column, dtype=np.int64) for column in columns))[-1])

    assert reached((0, 6, 900)) == NONE
    eventually("both are known", lambda: reached((TICK, -1, NONE)) == NONE and log.answers == {0: 7, 1: 0, 2: 1})
    assert reached((TICK, -1, NONE)) == NONE, "partition 1 has not been read"
    assert reached((0, 7, 950), (1, 0, 100), (1, 1, 200), (1, 2, 300)) == 300
    eventually("all are idle", lambda: reached((TICK, -1, NONE)) == 950)
    assert log.answers == {0: 7, 1: 5, 2: 1}


def test_a_transaction_that_is_open_for_long_is_told_now_and_then() -> None:
    seen = OpenTransactions("clicks")
    held = {0: End(decided=5, head=5), 1: End(decided=7, head=1_009)}
    assert [seen.see(held, second) for second in (0.0, 29.0)] == [[], []]
    assert len(seen) == 1
    said = "topic clicks, partition 1: a transaction has been open for 30 s; it holds back 1,002 records from offset 7 on, and event time with them"
    assert seen.see(held, 30.0) == [said]
    assert [len(seen.see(held, second)) for second in (31.0, 329.0, 330.0, 331.0)] == [0, 0, 1, 0]
    another = {1: End(decided=8, head=1_010)}
    assert [len(seen.see(another, second)) for second in (332.0, 361.0, 362.0)] == [0, 0, 1]
    assert seen.see({1: End(decided=1_011, head=1_011)}, 363.0) == []
    assert len(seen) == 0
