"""History from Kafka is history from files: the same events give the same values, whatever else lies in the topic and however it is read."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from features.catalog import load as load_definitions
from features.versions.data_version import KEY
from inference.model.loading import load
from infra.settings import Settings
from jobs.cli.main import main
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.producer import Publisher
from jobs.kafka.record_search import RecordSearch
from jobs.kafka.slices import Slice, bodies_of
from jobs.spark import kafka_source
from schemas.errors import ServiceError
from schemas.wire import encode
from tests import shop
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

TOPIC = "past_clicks"
CLICKS, OFFERS = 2_000, 400
DAY_MS = 86_400_000
CLICK = shop.schemas().current("click")
NOT_FINITE = {"event_time": shop.NOON, "user": "ann", "shop": 1, "shelf": "top", "amount": float("inf")}


@dataclass(frozen=True, kw_only=True)
class Past:
    """Two days of clicks, in a topic with all that topics hold besides, and as files."""

    folder: Path
    kafka: Connection

    def backfill(self, out: Path, *options: str, events: str = "kafka") -> int:
        where = ["--events", events, "--requests", str(self.folder / "offers.parquet"), "--out", str(out)]
        return main(["backfill", "--service", "buy", *where, *options])


@pytest.fixture
def past(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Past:
    definitions = tmp_path / "definitions"
    shutil.copytree(shop.DEFINITIONS, definitions, ignore=shutil.ignore_patterns("__pycache__"))
    text = (definitions / "shop.py").read_text()
    (definitions / "shop.py").write_text(text.replace('topic="clicks"', f'topic="{TOPIC}"'))
    monkeypatch.setenv("TIDEMARK_HOME", str(settings.home))
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(definitions))
    monkeypatch.setenv("TIDEMARK_SCHEMAS", str(shop.SCHEMAS))
    clicks, requests = table(CLICKS), table(OFFERS)
    (tmp_path / "events" / "clicks").mkdir(parents=True)
    pq.write_table(clicks, tmp_path / "events" / "clicks" / "a.parquet")
    offers = requests.append_column("request_id", pa.array([f"o{number}" for number in range(OFFERS)]))
    offers = offers.append_column("price", requests["amount"]).append_column("colour", pa.array(["red"] * OFFERS))
    pq.write_table(offers.drop_columns(["amount"]), tmp_path / "offers.parquet")
    return Past(folder=tmp_path, kafka=Connection.of(settings))


def table(count: int, seed: int = 5) -> pa.Table:
    """Clicks with amounts whose sums are exact in any order; of offers the amount is the price."""
    random = np.random.default_rng(seed + count)
    times = np.sort(random.integers(shop.NOON, shop.NOON + 2 * DAY_MS, count))
    columns = {"event_time": pa.array(times, pa.timestamp("ms", tz="UTC")), "user": random.choice(["ann", "bob", "eve"], count)}
    return pa.table(columns | {"shop": random.integers(0, 3, count), "shelf": ["top"] * count, "amount": random.integers(0, 99, count) / 4})


def fill(past: Past) -> None:
    """Half of the clicks plainly, a quarter in a transaction, a quarter as JSON; between them what is not an event."""
    admin.create(past.kafka, [TOPIC], partitions=2, replication=1, config={"retention.ms": "-1"})
    clicks = pq.read_table(past.folder / "events" / "clicks" / "a.parquet")
    half, quarter = CLICKS // 2, CLICKS // 4
    with Publisher(past.kafka, TOPIC, CLICK, event_time="event_time") as publisher:
        publisher.publish(clicks.slice(0, half))
        for body in (None, b"", b"hello", b"\xc3\x01short", encode(CLICK, NOT_FINITE)):
            publisher.send(body, timestamp_ms=shop.NOON)
        for row in plain(clicks.slice(half, quarter)):
            publisher.send(json.dumps(row).encode(), timestamp_ms=row["event_time"])
        publisher.marker(shop.NOON + 3 * DAY_MS)
    producer = Producer({"bootstrap.servers": past.kafka.servers, "transactional.id": TOPIC, "log_level": 0})
    producer.init_transactions()
    for rows, finish in (
        (clicks.slice(half + quarter, 100), producer.commit_transaction),
        (clicks.slice(0, 50), producer.abort_transaction),
        (clicks.slice(half + quarter + 100), producer.commit_transaction),
    ):
        producer.begin_transaction()
        for number, row in enumerate(plain(rows)):
            producer.produce(TOPIC, encode(CLICK, row), partition=number % 2)
        producer.flush()  # what is aborted has been written
        finish()


def plain(rows: pa.Table) -> list[dict[str, Any]]:
    return rows.set_column(0, "event_time", rows["event_time"].cast(pa.int64())).to_pylist()


def test_history_from_kafka_is_history_from_files(past: Past, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fill(past)
    assert past.backfill(past.folder / "of-files", "--as-known", events=str(past.folder / "events")) == 0
    expected = pq.read_table(past.folder / "of-files")
    assert len(expected) == OFFERS

    monkeypatch.setattr(kafka_source, "_MOST", 100)  # some tasks for each partition: their edges lie anywhere
    out = past.folder / "of-kafka"
    capsys.readouterr()
    left = out / "_tidemark" / "events.new" / "clicks" / "half.parquet"  # by a run that was killed while it read
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1 half a file")
    assert past.backfill(out) == 0
    assert pq.read_table(out).equals(expected)
    said, complaints = capsys.readouterr()
    assert complaints == ""
    reasons = "empty: 1, non-finite: 1, tombstone: 1, truncated: 1, unknown-format: 1"
    assert f"clicks: {CLICKS + 5 + 2:,} records of topic past_clicks, 2 of them markers, 5 refused ({reasons})" in said
    assert f"clicks: {CLICKS:,} rows\n" in said
    assert "all events count, as with --as-known: only the archive tells which were late" in said
    manifest = json.loads((out / "_tidemark.json").read_text())
    assert manifest[KEY]["options"]["as_known"] is True
    assert [(topic["topic"], topic["rows"], sorted(topic["offsets"])) for topic in manifest["topics"]] == [(TOPIC, CLICKS, ["0", "1"])]
    assert len(list((out / "_tidemark" / "events" / "clicks").iterdir())) > 10

    service = load_definitions(past.folder / "definitions", shop.SCHEMAS).services["buy"]
    model, where = shop.train(past.folder / "model", service), ["--events", "kafka", "--requests", str(past.folder / "offers.parquet")]
    assert main(["predict", "buy", *where, "--model", str(model), "--out", str(past.folder / "scored")]) == 0
    assert pq.read_table(past.folder / "scored")["score"].to_pylist() == load(model).predict(expected).tolist()
    capsys.readouterr()

    more = table(500)
    with Publisher(past.kafka, TOPIC, CLICK, event_time="event_time") as publisher:
        publisher.publish(more)
    (out / "_tidemark" / "2013-10-02.json").unlink()
    assert past.backfill(out) == 0
    assert pq.read_table(out).equals(expected), "a run that is continued computes from the events of the one that began"
    assert "2 days of them from before" in capsys.readouterr().out

    assert past.backfill(out, "--overwrite") == 0
    pq.write_table(more, past.folder / "events" / "clicks" / "b.parquet")
    assert past.backfill(past.folder / "of-files", "--as-known", "--overwrite", events=str(past.folder / "events")) == 0
    assert pq.read_table(out).equals(pq.read_table(past.folder / "of-files"))
    assert not pq.read_table(out).equals(expected)
    capsys.readouterr()

    assert past.backfill(past.folder / "of-files", "--as-known") == 2
    assert "of-files was begun with other inputs" in capsys.readouterr().err


def test_what_cannot_be_read_is_one_line(past: Past, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    definitions = past.folder / "definitions" / "shop.py"
    definitions.write_text(definitions.read_text().replace(TOPIC, "never_made"))
    assert past.backfill(past.folder / "out") == 2
    assert f"kafka {past.kafka.servers}: no topic never_made; " in capsys.readouterr().err
    monkeypatch.setenv("TIDEMARK_KAFKA", "127.0.0.1:1")
    assert past.backfill(past.folder / "out") == 3
    error = capsys.readouterr().err
    assert (error.count("\n"), error.startswith("tidemark: kafka 127.0.0.1:1: no answer within")) == (1, True)


@pytest.fixture(scope="module")
def gaps(settings: Settings) -> str:
    """A topic of one partition, with the marks of two transactions that were committed and one that was aborted."""
    kafka, name = Connection.of(settings), "gaps"
    admin.create(kafka, [name], partitions=1, replication=1)
    producer = Producer({"bootstrap.servers": kafka.servers, "transactional.id": name, "log_level": 0})
    producer.init_transactions()
    for bodies, finish in (("abc", producer.commit_transaction), ("xy", producer.abort_transaction), ("de", producer.commit_transaction)):
        producer.begin_transaction()
        for body in bodies:
            producer.produce(name, body)
        producer.flush()
        finish()
    assert admin.extents(kafka, [name]) == {name: {0: (0, 10)}}  # a b c · x y · d e ·
    return name


def test_slices_meet_where_offsets_have_gaps(settings: Settings, gaps: str) -> None:
    kafka, name = Connection.of(settings), gaps
    for cut in range(11):
        slices = [Slice(source="s", topic=name, partition=0, first=first, end=end) for first, end in ((0, cut), (cut, 10)) if first < end]
        read = [body for piece in slices for batch in bodies_of(kafka, piece) for body in batch]
        assert read == [b"a", b"b", b"c", b"d", b"e"]


def test_what_transactions_leave_is_told_from_unread_records(settings: Settings, gaps: str) -> None:
    search = RecordSearch(Connection.of(settings), gaps, group="gaps")
    for begin in range(10):
        first = next((offset for offset in (0, 1, 2, 7, 8) if offset >= begin), 10)
        assert eventually("the answer", partial(search.answers, {0: (begin, 10)}, 0.0), poll_s=0.01) == {0: first}


def test_records_that_are_gone_are_missed(settings: Settings) -> None:
    kafka, name = Connection.of(settings), "short_lived"
    admin.create(kafka, [name], partitions=1, replication=1)
    with Publisher(kafka, name, CLICK, event_time="event_time") as publisher:
        for number in range(20):
            publisher.send(b"%d" % number, timestamp_ms=1)
    whole = Slice(source="s", topic=name, partition=0, first=0, end=20)
    assert [body for batch in bodies_of(kafka, whole) for body in batch] == [b"%d" % number for number in range(20)]
    part = Slice(source="s", topic=name, partition=0, first=5, end=7)
    assert list(bodies_of(kafka, part)) == [[b"5", b"6"]]
    with pytest.raises(ServiceError, match=f"topic {name}, partition 0 ends at offset 20 and went to 30 when"):
        list(bodies_of(kafka, Slice(source="s", topic=name, partition=0, first=15, end=30)))
    client = AdminClient({"bootstrap.servers": kafka.servers})
    for deleted in client.delete_records([TopicPartition(name, 0, 10)]).values():
        deleted.result()
    assert admin.extents(kafka, [name]) == {name: {0: (10, 20)}}
    with pytest.raises(ServiceError, match=f"topic {name}, partition 0 cannot be read from offset 0 to 20: "):
        list(bodies_of(kafka, whole))
