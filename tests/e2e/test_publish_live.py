"""Two runs of `tidemark publish` within a minute, of events of now, with the features job behind them: nothing is late until a marker is asked for."""

from __future__ import annotations

import dataclasses
import random
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import flink, flink_submission
from infra.settings import Settings
from jobs.cli.main import main
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from schemas.schema import SchemaSet
from schemas.wire import now_ms
from tests.e2e.readings import stream
from tests.e2e.readings.run import FOLDER, Run, closings, prepared, tile_records
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

MINUTE_MS = 60_000
EACH = 50


def test_the_second_live_run_of_a_minute_is_counted_whole(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own, plan = prepared(settings, tmp_path, "live")
    own = dataclasses.replace(own, idle_timeout_ms=1_000)
    source, view = plan.sources["live_every"], plan.views["live_every_levels"]
    for name, value in own.environment().items():
        monkeypatch.setenv(name, value)
    job = flink_submission.submit("jobs.features", [source.name], name="features-live", settings=own)

    # Ahead of the clock by less than events may be, so that no pause of this machine brings the clock to the tile's end.
    first_ms = (now_ms() // MINUTE_MS + 2) * MINUTE_MS

    def publish(number: int, *options: str) -> str:
        file = tmp_path / f"{number}.parquet"
        pq.write_table(readings(first_ms + number * EACH, number), file)
        assert main(["publish", source.name, str(file), *options]) == 0
        return capsys.readouterr().out

    try:
        assert "the newest event is live" in publish(0)
        told = publish(1, "--marker")
        assert "and an end marker to each of" in told and "ahead of now: events of before that are late" in told
        end_ms = (first_ms // MINUTE_MS + 1) * MINUTE_MS
        run = Run(settings=own, plan=plan, streams={}, end_ms=end_ms)
        eventually("the closing of the minute", partial(closed, run, view.name, end_ms))
        assert sum(1 for _ in messages(Connection.of(own), source.late_topic)) == 0
        assert sum(record["count"] for record in tile_records(run, view).values()) == 2 * EACH
    finally:
        flink.Cluster(own.flink_url).cancel(job)


def readings(start_ms: int, number: int) -> pa.Table:
    """Valid readings, one each millisecond."""
    dice = random.Random(number)
    rows = [
        stream.fresh(dice, f"live{number}-{row}", start_ms + row) | {"meter": f"m{row % 12}", "event_time": start_ms + row, "valid": True}
        for row in range(EACH)
    ]
    return pa.Table.from_pylist(rows, schema=SchemaSet.load(FOLDER / "schemas").current("reading").arrow)


def closed(run: Run, view: str, end_ms: int) -> bool:
    return end_ms in dict(closings(run, view))
