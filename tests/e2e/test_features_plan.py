"""What Flink's planner makes of `jobs/features`: properties that results alone would not show until the data is large or slow."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from infra.java import java_environment

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def plan() -> str:
    command = [sys.executable, "-m", "tests.e2e.explain_features"]
    done = subprocess.run(command, env=os.environ | java_environment(), capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_watermarks_are_made_inside_the_kafka_source_so_for_each_partition(plan: str) -> None:
    scans = re.findall(r"TableSourceScan\(table=\[\[default_catalog.*", plan)
    assert scans
    assert all("watermark=[CASE(" in scan and "idletimeout=[" in scan for scan in scans)
    assert "WatermarkAssigner" not in plan


def test_window_aggregates_are_computed_in_two_phases(plan: str) -> None:
    assert len(re.findall(r"\bLocalWindowAggregate\(", plan)) == len(re.findall(r"\bGlobalWindowAggregate\(", plan)) > 0


def test_nothing_keeps_state_for_ever_but_one_number_for_each_partition(plan: str) -> None:
    assert set(re.findall(r"OverAggregate\(partitionBy=\[(\w+)\]", plan)) == {"_partition"}
    unbounded = r"(?<!Window)\b(GroupAggregate|Join|Rank|Deduplicate|GroupWindowAggregate|ChangelogNormalize|SinkMaterializer)\("
    assert not re.search(unbounded, plan)
