"""A whole month through the river out of order, with repeats and late events, and a TaskManager that is killed: still every value is the backfill's.

Some minutes long, so not a part of `make test`: `make month` runs it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import runtime
from infra.settings import Settings
from jobs.kafka.connection import Connection
from jobs.kafka.consumer import messages
from schemas.errors import ServiceError, SettingError

pytestmark = [pytest.mark.e2e, pytest.mark.month]

COMMAND = (sys.executable, "-m", "jobs.cli.main")
PREDICTIONS_BEFORE_THE_KILL = 5_000


def kill_a_task_manager(settings: Settings, running: subprocess.Popen[str]) -> None:
    """In the middle of the month, by the number of predictions."""
    while running.poll() is None:
        try:
            state = runtime.running(settings)
            said = sum(1 for _ in messages(Connection.of(settings), "flight_delay.predictions")) if state else 0
        except (ServiceError, SettingError):
            said = 0  # no broker or no topic yet
        if said > PREDICTIONS_BEFORE_THE_KILL:
            assert state is not None
            os.kill(next(service.pid for service in state.services if service.name == "flink-taskmanager"), signal.SIGKILL)
            return
        time.sleep(1.0)


@pytest.mark.timeout(1800)
def test_a_month_with_a_killed_task_manager_is_the_backfill_value_by_value(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environ = os.environ | {"TIDEMARK_HOME": str(home)}
    settings = Settings.load(environ={"TIDEMARK_HOME": str(home)}, folder=tmp_path)
    demo = subprocess.Popen(
        [*COMMAND, "demo", "--days", "31", "--train-from", "2013-07-01", "--disorder", "--keep"],
        env=environ,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        kill_a_task_manager(settings, demo)
        said, _ = demo.communicate(timeout=1200)
        print(said)
        assert demo.returncode == 0, said
        report = json.loads((home / "demo/report.json").read_text())
        parity = report["parity"]
        assert parity["compared"] == parity["equal"] > 600_000
        assert parity["different"] == parity["missing"] == parity["extra"] == 0
        assert report["dead_letters"] == report["injected_bad"]
        jobs = subprocess.run([*COMMAND, "jobs"], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        print(jobs)
        state = runtime.running(settings)
        assert state is not None
        assert next(service.restarts for service in state.services if service.name == "flink-taskmanager") == 1
        for what in (["flight_delay"], ["origin_departures", "--tiles"]):
            proof = subprocess.run([*COMMAND, "parity", *what], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
            print(proof.stdout)
            assert proof.returncode == 0, proof.stdout + proof.stderr
    finally:
        if demo.poll() is None:
            demo.send_signal(signal.SIGINT)
            demo.wait(120)
        subprocess.run([*COMMAND, "down"], env=environ, cwd=tmp_path, check=True, capture_output=True)
