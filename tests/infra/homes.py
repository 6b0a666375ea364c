"""Homes in which a runtime runs, for tests: started, and looked at."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from infra import flink
from infra.runtime import RuntimeState
from infra.settings import Settings
from tests.jobs.cli.test_main import tidemark
from tests.waiting import PATIENCE_S

JOB = "tests.infra.counting_job"
PATIENT = {"TIDEMARK_CHECKPOINT_INTERVAL": "1s", "TIDEMARK_START_TIMEOUT": f"{PATIENCE_S:.0f}s", "TIDEMARK_JIT": "quick"}


def up(home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return tidemark("up", "--detach", home=home, **PATIENT, **environ)


def settings_of(home: Path) -> Settings:
    return Settings.load(environ={"TIDEMARK_HOME": str(home)} | PATIENT, folder=home)


def state_of(home: Path) -> RuntimeState:
    state = RuntimeState.read(settings_of(home))
    assert state is not None
    return state


def pid_of(home: Path, service: str) -> int:
    return next(each.pid for each in state_of(home).services if each.name == service)


def endpoints_of(home: Path) -> dict[str, str]:
    endpoints: dict[str, str] = json.loads((home / "endpoints.json").read_text())
    return endpoints


def completed(cluster: flink.Cluster, job_id: str) -> int:
    """The number of the newest checkpoint that the job has completed."""
    return int((cluster.job(job_id).checkpoint or "chk-0").rpartition("-")[2])
