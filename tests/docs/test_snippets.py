"""The pages tell the truth: what they tell to write compiles, their clients work on the real broker, and no block of Python is left untried."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog import load
from features.durations import show
from features.window_costs import ViewCost
from inference.model.loading import load_for
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.producer import Publisher
from schemas.schema import SHIPPED, SchemaSet
from schemas.types import DataType
from schemas.wire import OK, Decoder, encode
from tests.docs.pages import PAGES, ROOT, blocks, files, named
from tests.waiting import PATIENCE_S

TRIED = {"publish", "read", "train", "payments", "feast", "hops", "view", "range"}
"""Snippets that a test runs; `payments` and `feast` have theirs in `test_getting_started` and `tests/inference/online/test_feast.py`."""


def snippet(name: str) -> str:
    """A block of Python under a comment that names it."""
    return named("python")[name]


def test_every_block_of_python_is_tried() -> None:
    found = {block.name for block in blocks() if block.language == "python"}
    assert {name for name in found if not name.endswith(".py")} == TRIED, "a block without a name, or without a test"


def test_an_excerpt_is_what_the_file_says() -> None:
    found = [block for block in blocks() if block.name.endswith(".py") and not block.name.startswith("team/")]
    assert found
    for block in found:
        assert block.text in (ROOT / block.name).read_text(), f"{block.page}: not in {block.name}"


def test_what_has_one_name_says_one_thing() -> None:
    for block in blocks():
        same = [other for other in blocks() if block.name and (other.name, other.language) == (block.name, block.language)]
        assert {other.text for other in same} <= {block.text}, f"{block.name} differs between {[str(other.page) for other in same]}"


def test_there_is_one_picture_of_the_river() -> None:
    assert len({block.text for block in blocks() if "events topic ──▶" in block.text}) == 1


def test_the_readme_is_short() -> None:
    assert len(PAGES[0].read_text().splitlines()) <= 200


def test_what_a_reader_is_told_to_write_compiles(tmp_path: Path) -> None:
    for name, content in files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    plan = load(tmp_path / "team/definitions", tmp_path / "team/schemas")
    names = ["payments_1h", "large_1h", "amount_mean_24h", "amount_max_24h"]
    assert [feature.name for feature in plan.views["card_activity"].features] == names
    assert list(plan.services["approve"].feature_types) == [*names, "large_share"]


def test_a_view_is_one_file_beside_the_example(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "features" / "definitions", tmp_path / "definitions")
    (tmp_path / "definitions" / "destination_landings.py").write_text(snippet("view"))
    assert len(load(tmp_path / "definitions", None).views["destination_landings"].features) == 2


def test_windows_with_hops_are_one_file_beside_the_first_steps(tmp_path: Path) -> None:
    for name, content in files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "team/definitions/card_habits.py").write_text(snippet("hops"))
    view = load(tmp_path / "team/definitions", tmp_path / "team/schemas").views["card_habits"]
    assert [show(size) for size in view.levels_ms] == ["1m", "1h", "1d"]
    exact, *hops = (cost.reads for cost in reversed(ViewCost.of(view, slack_ms=0).windows))
    assert (exact, hops) == (10, [112, 172])


@pytest.mark.parametrize("name", ["publish", "read"])
def test_a_client_is_under_fifteen_lines(name: str) -> None:
    assert len([line for line in snippet(name).splitlines() if line.strip()]) < 15


def run_snippet(name: str, home: Path, folder: Path) -> str:
    """Run a snippet as its reader would, but for the folder of the runtime; returns what it printed."""
    (folder / "schemas").symlink_to(ROOT / "schemas")
    (folder / ".tidemark").symlink_to(home)
    done = subprocess.run(
        [sys.executable, "-c", snippet(name)], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_model_that_one_trains_oneself_serves(tmp_path: Path) -> None:
    service, random = load(None, None).services["flight_delay"], np.random.default_rng(3)
    columns = {
        name: pa.array(random.choice(["a", "b"], 300) if type_ is DataType.STRING else random.normal(20, 30, 300)).cast(
            type_.arrow, safe=False
        )
        for name, type_ in service.feature_types.items()
    }
    (tmp_path / "training").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "training" / "2013-10-01.parquet")
    pq.write_table(pa.table({"class": random.integers(0, 4, 300)}), tmp_path / "classes.parquet")
    run_snippet("train", tmp_path, tmp_path)
    assert load_for(service, tmp_path / "model").predict(pa.table(columns)).shape == (300, 4)


@pytest.mark.e2e
def test_the_publishing_client_writes_what_the_gate_accepts(settings: Settings, tmp_path: Path) -> None:
    admin.create(Connection.of(settings), ["departures"], partitions=1, replication=1)
    run_snippet("publish", settings.home, tmp_path)
    (message,) = messages(Connection.of(settings), "departures")
    body = message.value()
    assert body is not None
    schemas = SchemaSet.load(SHIPPED)
    decoded = Decoder(schemas, "departure", event_time="event_time", max_ahead_ms=300_000).decode([body])
    assert decoded.kind.tolist() == [OK]
    assert decoded.columns["dest"] == ["IAH"]
    assert message.key() == b"UA-1"


@pytest.mark.e2e
def test_the_reading_client_reads_predictions(settings: Settings, tmp_path: Path) -> None:
    admin.create(Connection.of(settings), ["flight_delay.predictions"], partitions=1, replication=1)
    schema = SchemaSet.load(SHIPPED).current("prediction")
    verdict = {
        "request_id": "UA-1",
        "service": "flight_delay",
        "service_version": "1",
        "model": "m",
        "model_version": "1",
        "variant": "champion",
    }
    numbers = {"event_time": 1, "shard": 0, "score": 0.12345, "frontier": 1, "stale": True, "stale_age_ms": 5, "scored_at": 2}
    with Publisher(Connection.of(settings), "flight_delay.predictions", schema, event_time="event_time") as publisher:
        publisher.send(encode(schema, verdict | numbers | {"features": {"x": 1.5}, "request": {}, "unseen": []}), timestamp_ms=1)
    assert run_snippet("read", settings.home, tmp_path) == "UA-1 0.123 stale\n"
