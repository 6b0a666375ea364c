"""The README tells the truth: its view compiles, its settings are those that are read, its clients work on the real broker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog import load
from inference.model.loading import load_for
from infra.settings import Settings
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from jobs.kafka.producer import Publisher
from schemas.schema import SHIPPED, SchemaSet
from schemas.types import DataType
from schemas.wire import OK, Decoder, encode
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SETTINGS = re.compile(r"(<!-- settings: [^\n]*-->\n).*?(<!-- /settings -->)", re.DOTALL)


def _files() -> dict[str, str]:
    """Code blocks introduced by the name of a file of the folder `team/`."""
    return dict(re.findall(r"`(team/[\w./]+)`:\n\n```\w+\n(.*?)```", README.read_text(), re.DOTALL))


def snippet(name: str) -> str:
    """A code block under a comment that names it."""
    found = re.search(rf"<!-- snippet: {name} -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_first_feature_view_compiles(tmp_path: Path) -> None:
    for name, content in _files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    plan = load(tmp_path / "team/definitions", tmp_path / "team/schemas")
    assert [feature.name for feature in plan.views["card_activity"].features] == [
        "payments_1h",
        "large_1h",
        "amount_mean_24h",
        "amount_max_24h",
    ]


def _settings_table() -> str:
    rows = ["| Setting | Default | What it is |", "|---|---|---|"]
    defaults = Settings().environment()
    for item in fields(Settings):
        name = f"TIDEMARK_{item.name.removesuffix('_ms').removesuffix('_bytes').upper()}"
        default = defaults.get(name)
        rows.append(f"| `{name}` | {f'`{_shown(default)}`' if default else ''} | {item.metadata['doc']} |")
    return "\n".join(rows) + "\n"


def _shown(value: str) -> str:
    """A duration in the largest unit that fits."""
    if not value.endswith("ms"):
        return value
    milliseconds = int(value.removesuffix("ms"))
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return value


def test_the_settings_are_those_that_are_read() -> None:
    text = README.read_text()
    expected = SETTINGS.sub(lambda found: found[1] + _settings_table() + found[2], text)
    if os.environ.get("UPDATE_GOLDEN"):
        README.write_text(expected)
    assert text == expected, "run with UPDATE_GOLDEN=1 to write the table anew"


def test_links_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("name", ["publish", "read"])
def test_a_client_is_under_fifteen_lines(name: str) -> None:
    assert len([line for line in snippet(name).splitlines() if line.strip()]) < 15


def run_snippet(name: str, home: Path, folder: Path) -> str:
    """Run a client of the README as its reader would, but for the folder of the runtime; returns what it printed."""
    (folder / "schemas").symlink_to(ROOT / "schemas")
    (folder / ".tidemark").symlink_to(home)
    done = subprocess.run(
        [sys.executable, "-c", snippet(name)], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
