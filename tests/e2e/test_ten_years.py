"""`jobs/features` over ten years of event time: what is open and what is kept is as much as of one day, and every event counts."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog import load
from infra import flink, flink_submission
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.end_marker import EndMarker
from jobs.kafka.producer import Publisher
from schemas.parquet import parquet_files
from tests import shop
from tests.e2e.readings.run import Run, tile_records
from tests.shop import NOON
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

DAYS, DAY_MS = 3_652, 86_400_000
FIRST_MS = NOON - DAYS * DAY_MS
NEWEST_MS = FIRST_MS + (DAYS - 1) * DAY_MS
USERS = 7


def test_a_replay_of_ten_years_keeps_one_file_open_for_each_subtask(settings: Settings, tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    shutil.copytree(shop.DEFINITIONS, definitions, ignore=shutil.ignore_patterns("__pycache__"))
    for file in definitions.glob("*.py"):
        file.write_text(re.sub(r"\b(clicks|offers|user_clicks|shelf_clicks|buy)\b", r"ten_\1", file.read_text()))
    own = replace(settings, definitions=definitions, schemas=shop.SCHEMAS, partitions=2, checkpoint_interval_ms=1_000)
    plan, cluster = load(definitions, shop.SCHEMAS), flink.Cluster(own.flink_url)
    source, view = plan.sources["ten_clicks"], plan.views["ten_user_clicks"]
    admin.ensure(own, plan)
    rows = [
        {"event_time": FIRST_MS + day * DAY_MS, "user": f"u{day % USERS}", "shop": 7, "shelf": "top", "amount": float(day)}
        for day in range(DAYS)
    ]
    schema = shop.schemas().current("click")
    with Publisher(Connection.of(own), source.topic, schema, event_time="event_time", key=["user"]) as publisher:
        publisher.publish(pa.Table.from_pylist(rows, schema=schema.arrow))
        publisher.marker(EndMarker.of(plan, source, newest_ms=NEWEST_MS).marker_ms, final=True)
    run, folder = Run(settings=own, plan=plan, streams={}, end_ms=0), own.home / "archive" / source.name
    most_open = 0

    def archived() -> bool:
        nonlocal most_open
        most_open = max(most_open, sum(1 for _ in folder.rglob(".*.inprogress.*")))
        return folder.is_dir() and sum(pq.read_metadata(file).num_rows for file in parquet_files(folder)) >= DAYS

    job = flink_submission.submit("jobs.features", [source.name], name="features-ten", settings=own)
    try:
        eventually(f"{DAYS} events in the archive", archived)
        eventually("a tile of each", lambda: len(tile_records(run, view)) == DAYS)
        assert Counter(record["count"] for record in tile_records(run, view).values()) == {1: DAYS}
        assert cluster.job(job).restarts == 0
        checkpoints = cluster._ask(f"/jobs/{job}/checkpoints")["counts"]["completed"]
    finally:
        cluster.cancel(job)
    files = parquet_files(folder)
    kept = pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
    times = kept["event_time"].cast(pa.int64()).sort().to_pylist()
    assert times == [row["event_time"] for row in rows], "each event is there once"
    assert len(files) <= checkpoints * own.parallelism
    assert most_open <= own.parallelism * 2, "at midnight a second folder is begun"
    for file in files:  # readers pass over what their time is not in
        metadata = pq.read_metadata(file)
        place = metadata.schema.names.index("event_time")
        told = [metadata.row_group(group).column(place).statistics for group in range(metadata.num_row_groups)]
        assert all(statistics is not None and statistics.has_min_max for statistics in told)
