"""Publishing and reading on a real broker: order, timestamps, keys, markers, all formats, and a broker that dies."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer
from fastavro import schemaless_writer

from features import catalog
from features.compiler.tile_schema import tile_avro_schema
from features.plan import FRONTIER_TOPIC
from infra import kafka as embedded
from infra.service import Ports, Service
from infra.settings import Settings
from jobs.cli.main import main
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.producer import Publisher
from jobs.kafka.records import RecordReader
from schemas.errors import DataError, ServiceError
from schemas.schema import SHIPPED, SchemaSet
from schemas.wire import encode, marker
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.e2e
START_MS = 1_380_600_000_000
SCHEMAS = SchemaSet.load(SHIPPED)
ARRIVAL = SCHEMAS.current("arrival")


def start_broker(home: Path) -> Service:
    service = Service(
        spec=embedded.service(Settings.load(environ={"TIDEMARK_HOME": str(home), "TIDEMARK_JIT": "quick"}, folder=home), Ports())
    )
    service.start()
    eventually(service.last_words, service.check)
    return service


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    broker = start_broker(tmp_path_factory.mktemp("home"))
    yield Connection(servers=f"127.0.0.1:{broker.spec.port}")
    broker.stop()
    broker.wait(time.monotonic() + PATIENCE_S)


@pytest.fixture
def topic(kafka: Connection, request: pytest.FixtureRequest) -> str:
    name = request.node.name.partition("[")[0]
    admin.create(kafka, [name], partitions=2, replication=1)
    return str(name)


@pytest.fixture
def publisher(kafka: Connection, topic: str) -> Iterator[Publisher]:
    with Publisher(kafka, topic, ARRIVAL, event_time="event_time", key=["flight_id"]) as publisher:
        yield publisher


def arrivals(*minutes: int) -> pa.Table:
    rows = [arrival(minute) for minute in minutes]
    return pa.Table.from_pylist(rows, schema=ARRIVAL.arrow)


def arrival(minute: int) -> dict[str, Any]:
    time_ms = START_MS + minute * 60_000
    return {
        "flight_id": f"f{minute}",
        "event_time": time_ms,
        "carrier": "UA",
        "tailnum": None,
        "origin": "JFK",
        "dest": "LAX",
        "arr_delay": minute / 2,
    }


def read(kafka: Connection, topic: str, **options: Any) -> list[dict[str, Any]]:
    reader = RecordReader(SCHEMAS, lambda: catalog.load(None, None))
    return [reader.record(message) for message in messages(kafka, topic, **options)]


def test_events_go_out_in_event_time_order_with_their_time_and_key(kafka: Connection, topic: str, publisher: Publisher) -> None:
    publisher.publish(arrivals(*range(400, 0, -1)))
    assert publisher.marker(START_MS + 401 * 60_000, final=True) == 2
    publisher.flush()
    got = list(messages(kafka, topic))
    assert len(got) == 402
    for partition in (0, 1):
        times = [message.timestamp()[1] for message in got if message.partition() == partition]
        assert len(times) > 100
        assert times == sorted(times)
        assert times[-1] == START_MS + 401 * 60_000
    records = read(kafka, topic)
    assert {record["flight_id"]: record["arr_delay"] for record in records if "_marker" not in record} == {
        f"f{m}": m / 2 for m in range(1, 401)
    }
    assert [record["_marker"]["final"] for record in records if "_marker" in record] == [True, True]
    assert {(message.key() or b"").decode() for message in got} == {"", *(f"f{minute}" for minute in range(1, 401))}


def test_reading_from_a_time_from_the_end_and_a_number_of_records(kafka: Connection, topic: str, publisher: Publisher) -> None:
    publisher.publish(arrivals(*range(100)))
    publisher.flush()
    since = "2013-10-01T05:00:00Z"  # an hour after the start
    assert sorted(record["arr_delay"] for record in read(kafka, topic, start=since)) == [minute / 2 for minute in range(60, 100)]
    assert len(read(kafka, topic, most=7)) == 7
    assert read(kafka, topic, start="end") == []
    assert read(kafka, topic, start="2100-01-01") == []


def test_a_replay_keeps_its_pace(publisher: Publisher) -> None:
    publisher.publish(arrivals(0))
    publisher.flush()
    started = time.monotonic()
    publisher.publish(arrivals(0, 1_440, 2_880), speed=345_600.0)  # two days, which nobody would wait for
    publisher.flush()
    assert time.monotonic() - started >= 0.5


def test_event_times_that_kafka_does_not_have(kafka: Connection, topic: str, publisher: Publisher) -> None:
    """Kafka's record timestamps begin after 1970-01-01T00:00Z, and 0 would mean now."""
    publisher.publish(arrivals(-START_MS // 60_000, -START_MS // 60_000 - 9))
    publisher.flush()
    assert [message.timestamp()[1] for message in messages(kafka, topic)] == [1, 1]
    assert sorted(record["event_time"].year for record in read(kafka, topic)) == [1969, 1970]


def test_all_formats_and_damage_are_readable(kafka: Connection, topic: str, publisher: Publisher) -> None:
    good = encode(ARRIVAL, arrival(1))
    for body in (good, b'{"a": [1.5]}', marker(5), good[:-1], b"", None, b"\0\0\0\0\x2aabc"):
        publisher.send(body, timestamp_ms=START_MS, key="k", partition=0)
    publisher.flush()
    got = read(kafka, topic)
    assert got[0]["flight_id"] == "f1"
    assert got[1] == {"a": [1.5]}
    assert got[2]["_marker"]["final"] is False
    assert got[3]["_error"].startswith('damaged record of schema "arrival"')
    assert base64.b64decode(got[3]["_value"]) == good[:-1]
    assert got[4]["_error"].startswith("not-json")
    assert got[5] == {"_tombstone": "k"}
    assert got[6]["_error"] == "schema id 42: no registry is set (TIDEMARK_REGISTRY)"


def test_a_record_that_the_broker_does_not_take(kafka: Connection, topic: str) -> None:
    with (
        pytest.raises(
            DataError, match=rf"topic {topic}: the broker does not take the record without a key, .* bytes: .* \(message\.max\.bytes"
        ),
        Publisher(kafka, topic, ARRIVAL, event_time="event_time") as publisher,
    ):
        publisher.send(os.urandom(embedded.LARGEST_RECORD_BYTES + 1), timestamp_ms=START_MS)
        publisher.flush()


def test_a_record_whose_time_the_topic_does_not_take_is_named(kafka: Connection) -> None:
    admin.create(kafka, ["recent"], partitions=1, replication=1, config={"message.timestamp.before.max.ms": "3600000"})
    said = r"topic recent: the broker does not take the record of key f2, time 2013-10-01T04:02:00.000Z, .* \(message\.timestamp\.before"
    with (
        pytest.raises(DataError, match=said),
        Publisher(kafka, "recent", ARRIVAL, event_time="event_time", key=["flight_id"]) as publisher,
    ):
        publisher.publish(arrivals(2))
        publisher.flush()


def test_topics_of_flinks_own_avro_format_and_dead_letters(kafka: Connection) -> None:
    view = catalog.load(None, None).views["origin_departures"]
    tile = {"origin": "JFK", "tile_start": START_MS, "revision": 0} | {column.name: None for column in view.tile_columns}
    closing = {"view": view.name, "tile_end": START_MS, "tiles": 3}
    bodies = {view.tiles_topic: plain(tile_avro_schema(view), tile), FRONTIER_TOPIC: plain(dict(SCHEMAS.current("closing").avro), closing)}
    admin.create(kafka, [*bodies, "departures.dlq"], partitions=1, replication=1)
    producer = Producer({"bootstrap.servers": kafka.servers})
    for topic, body in bodies.items():
        producer.produce(topic, body)
    producer.produce("departures.dlq", b"\xff", headers={"reason": b"unknown-format: first byte ff", "partition": b"1"})
    producer.flush()
    start = datetime.fromtimestamp(START_MS / 1000, UTC)
    assert read(kafka, view.tiles_topic) == [tile | {"tile_start": start}]
    assert read(kafka, FRONTIER_TOPIC) == [closing | {"tile_end": start}]
    assert read(kafka, "departures.dlq") == [{"reason": "unknown-format: first byte ff", "partition": "1", "value": "/w=="}]


def plain(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    schemaless_writer(out, schema, record)
    return out.getvalue()


def test_the_command_line(kafka: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TIDEMARK_KAFKA", kafka.servers)
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))
    pq.write_table(arrivals(3, 1, 2), tmp_path / "a.parquet")
    assert main(["publish", "arrivals", str(tmp_path / "a.parquet")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("published 3 records to topic arrivals in ")
    assert said.endswith(", and an end marker to each of 2 partitions\n")
    assert main(["publish", "arrivals", str(tmp_path / "a.parquet"), "--no-marker"]) == 0
    assert "marker" not in capsys.readouterr().out
    assert main(["read", "arrivals", "--meta"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 8
    first = next(line for line in lines if line.get("flight_id") == "f1")
    assert first["event_time"] == first["_kafka"]["time"] == "2013-10-01T04:01:00.000Z"
    assert first["_kafka"]["key"] == "f1"
    assert main(["read", "arrival"]) == 2
    assert capsys.readouterr().err == "tidemark: read: no topic arrival; did you mean arrivals?\n"


def test_a_broker_that_dies_while_publishing(tmp_path: Path) -> None:
    broker = start_broker(tmp_path)
    kafka = Connection(servers=f"127.0.0.1:{broker.spec.port}")
    admin.create(kafka, ["t"], partitions=1, replication=1)

    def connected() -> Publisher | None:
        """One that has delivered; it is not the broker's death if it takes longer than that."""
        fresh = Publisher(kafka, "t", ARRIVAL, event_time="event_time", deliver_within_s=2.0)
        try:
            fresh.publish(arrivals(*range(100)))
            fresh.flush()
        except ServiceError:
            return None
        return fresh

    publisher = eventually("records are delivered", connected)
    assert publisher is not None
    broker.process.send_signal(signal.SIGKILL)
    broker.process.wait()
    with pytest.raises(ServiceError, match=rf"kafka {kafka.servers}: records for topic t were not delivered within 2 s"), publisher:
        publisher.publish(arrivals(*range(100, 200)))
        publisher.flush()
