"""What an archive says of a topic counts only while the topic is the one that it was made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from features.catalog import load
from infra.settings import Settings
from jobs.flink import start_offsets
from jobs.flink.start_offsets import Beginning
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from tests import shop
from tests.shop import NOON
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.e2e

RECORDS = 3
"""In each of two partitions; one more is in partition 1."""


@pytest.mark.parametrize(
    ("last", "counts"),
    [
        ({0: (1, 1), 1: (3, 3)}, {0: 1, 1: 3}),
        ({0: (1, 1), 1: (3, 0)}, {0: 1}),  # another record lies there
        ({0: (3, 3), 1: (0, 0)}, {1: 0}),  # nothing lies there
        ({2: (0, 0)}, {}),  # there is no such partition
    ],
)
def test_what_is_archived_of_another_topic_of_the_name_does_not_count(
    settings: Settings, tmp_path: Path, last: dict[int, tuple[int, int]], counts: dict[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    """Partition → the last archived offset, and the number in its partition that the record there had by its time."""
    plan = load(shop.DEFINITIONS, shop.SCHEMAS)
    source = replace(plan.sources["clicks"], topic="begin_clicks")
    own = replace(settings, home=tmp_path, kafka=settings.kafka_servers, redis=settings.redis_url)
    admin.create(Connection.of(own), [source.topic], partitions=2, replication=1)
    if not any(end for _, end in admin.extents(Connection.of(own), [source.topic])[source.topic].values()):
        producer = Producer({"bootstrap.servers": own.kafka_servers, "log_level": 0})
        for partition, records in ((0, RECORDS), (1, RECORDS + 1)):
            for number in range(records):
                producer.produce(source.topic, b"{}", partition=partition, timestamp=NOON + number)
        assert producer.flush(PATIENCE_S) == 0
    folder = tmp_path / "archive" / source.name
    folder.mkdir(parents=True)
    columns = {
        "_partition": pa.array(list(last), pa.int32()),
        "_offset": pa.array([offset for offset, _ in last.values()], pa.int64()),
        "_arrived": pa.array([NOON + number for _, number in last.values()], pa.int64()),
    }
    pq.write_table(pa.table(columns), folder / "part-0")

    assert start_offsets.resumed(own, source) == Beginning(archived=counts)
    assert start_offsets.fresh(own, source, []) == Beginning(
        archived=counts, first={number: offset + 1 for number, offset in counts.items()}
    )
    assert ("is of another topic" in caplog.text) == (counts.keys() != last.keys())
