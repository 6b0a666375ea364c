"""The guide on tests tells the truth: its tests pass, its cases hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli.main import main

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "guides" / "test-your-views.md"
SCHEMA = """{"type": "record", "name": "payment", "fields": [
  {"name": "payment_id", "type": "string"},
  {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "card", "type": "string"}, {"name": "amount", "type": "double"}
]}"""
VIEW = """
from datetime import timedelta

from features import Count, Entity, FeatureView, Max, Mean, Source

minute, hour = timedelta(minutes=1), timedelta(hours=1)
payments = Source(topic="payments", schema="payment", lateness=timedelta(seconds=10), id="payment_id", dedupe=hour)
card = Entity(keys=["card"])
card_activity = FeatureView(
    entity=card, source=payments, tile=minute,
    features={
        "payments_1h": Count().over(hour), "large_1h": Count(where="amount > 500").over(hour),
        "amount_mean_24h": Mean("amount").over(24 * hour), "amount_max_24h": Max("amount").over(24 * hour),
    },
)
"""


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {"team/schemas/payment.avsc": SCHEMA, "team/definitions/card_activity.py": VIEW}
    files |= dict(re.findall(r"`(team/[\w./]+)`:\n\n```\w+\n(.*?)```", GUIDE.read_text(), re.DOTALL))
    assert len(files) == 4
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(tmp_path / "team/definitions"))
    monkeypatch.setenv("TIDEMARK_SCHEMAS", str(tmp_path / "team/schemas"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.mark.slow
def test_its_tests_pass(team: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "team/definitions/tests"]
    done = subprocess.run(command, cwd=team, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout + done.stderr


def test_its_cases_hold(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test"]) == 0
    assert "2 of 2 cases hold" in capsys.readouterr().out
