"""What Flink's planner makes of `jobs/features`: properties that results alone would not show until the data is large or slow."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from infra.java import java_environment
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def plan() -> str:
    command = [sys.executable, "-m", "tests.e2e.explain_features"]
    done = subprocess.run(command, env=os.environ | java_environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_gate_sees_messages_and_heartbeats_and_tells_the_watermark(plan: str) -> None:
    assert plan.count("PythonCalc(") == 1, "the planner has made two of them, of which each would keep its own time"
    assert set(re.findall(r"WatermarkAssigner\(rowtime=\[(\w+)\], watermark=\[([^]]*)\]", plan)) == {
        ("_time", "TO_TIMESTAMP_LTZ(_stream_ms, 3)")
    }
    assert "idletimeout" not in plan


def test_window_aggregates_are_computed_in_two_phases(plan: str) -> None:
    assert len(re.findall(r"\bLocalWindowAggregate\(", plan)) == len(re.findall(r"\bGlobalWindowAggregate\(", plan)) > 0


def test_nothing_keeps_state_for_ever_but_one_number_for_each_partition_and_one_for_all(plan: str) -> None:
    overs = re.findall(r"OverAggregate\((?:partitionBy=\[(\w+)\], )?.*?select=\[.*?(\w+)\(\$?\w*\) AS w0\$o0\]", plan)
    assert sorted(overs) == [("", "MAX"), ("_partition", "MAX")]
    unbounded = r"(?<!Window)\b(GroupAggregate|Join|Rank|Deduplicate|GroupWindowAggregate|ChangelogNormalize|SinkMaterializer)\("
    assert not re.search(unbounded, plan)
