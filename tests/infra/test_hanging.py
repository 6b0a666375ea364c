"""Services and workers that hang, of a runtime of little patience: told, killed, replaced; and a job for which there is no room."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import flink, flink_submission
from infra.service import marked
from tests import shop
from tests.infra.homes import JOB, completed, endpoints_of, settings_of, state_of, up
from tests.jobs.cli.test_main import tidemark
from tests.waiting import PATIENCE_S, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.large]

HASTY = {"TIDEMARK_HANG_TIMEOUT": "10s", "TIDEMARK_FLINK_TASKMANAGERS": "2"}


@pytest.fixture(scope="module")
def hasty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Another, of the least patience, of two TaskManagers, and with next to no memory for windows."""
    folder = tmp_path_factory.mktemp("hasty")
    try:
        started = up(folder, **HASTY, TIDEMARK_FLINK_SLOT_MEMORY="16MB")
        assert started.returncode == 0, started.stderr
        yield folder
    finally:
        assert tidemark("down", home=folder).returncode == 0


def test_all_services_that_hang_at_once_are_told_then_killed_and_replaced(hasty_home: Path) -> None:
    before = {service.name: service.pid for service in state_of(hasty_home).services}
    troubled: set[str] = set()

    def all_are_told() -> bool:
        """One by one: the first may be replaced before the last is told."""
        troubled.update(service.name for service in state_of(hasty_home).services if "its process is stopped" in service.trouble)
        return troubled == before.keys()

    for pid in before.values():
        os.kill(pid, signal.SIGSTOP)
    assert eventually("all are told", all_are_told)
    assert eventually(
        "all are replaced", lambda: all(pid != before[service.name] for service in state_of(hasty_home).services for pid in [service.pid])
    )
    assert eventually("all are well", lambda: not any(service.trouble for service in state_of(hasty_home).services))
    told = tidemark("status", home=hasty_home)
    assert re.findall(
        r"^([\w-]+) .*started again \d+× \(last: does not answer, its process is stopped for \d+ s\)", told.stdout, re.MULTILINE
    ) == [*before]
    assert "jobs: none; those that ran before the JobManager was started again are gone" in told.stdout


def test_a_worker_that_is_stopped_is_killed_alone_and_its_job_goes_on(hasty_home: Path) -> None:
    cluster, before = flink.Cluster(endpoints_of(hasty_home)["flink"]), state_of(hasty_home).services
    assert eventually("there is room", lambda: cluster.room().slots == 12)
    job = flink_submission.submit(JOB, [], name="stopped", settings=settings_of(hasty_home))
    try:
        assert eventually("a checkpoint", lambda: cluster.job(job).checkpoint)
        (worker,) = python_workers(hasty_home)
        os.kill(worker, signal.SIGSTOP)
        killed = rf"flink-taskmanager(-2)?: its worker {worker} is stopped for \d+ s; it is killed\n"
        assert eventually("it is killed", lambda: re.search(killed, (hasty_home / "logs" / "supervisor.log").read_text()))
        assert eventually("the job is restored", lambda: (found := cluster.job(job)).restarts == 1 and found.state == "RUNNING")
        done = completed(cluster, job)
        assert eventually("it gets on", lambda: completed(cluster, job) > done)
        assert worker not in python_workers(hasty_home)
        assert [service.pid for service in state_of(hasty_home).services] == [service.pid for service in before], "no service was replaced"
        assert tidemark("status", home=hasty_home).returncode == 0
    finally:
        cluster.cancel(job, timeout_s=PATIENCE_S)


def test_a_worker_that_does_not_answer_is_told_by_the_checkpoint_that_waits_for_it(hasty_home: Path, tmp_path: Path) -> None:
    cluster = flink.Cluster(endpoints_of(hasty_home)["flink"])
    assert eventually("there is room", lambda: cluster.room().slots == 12)
    file = tmp_path / "hangs"
    file.touch()
    job = flink_submission.submit(JOB, ["hang", str(file)], name="hanging", settings=settings_of(hasty_home))
    told = (
        r"hanging: RUNNING since .*, a checkpoint has not ended after \d+ s: \d of \d tasks hang, wait for a service, or have much to do\n"
    )
    try:
        assert eventually("it is told", lambda: re.search(told, tidemark("jobs", home=hasty_home).stdout))
        assert re.search(f"job {told}", tidemark("status", home=hasty_home).stdout)
        file.unlink()
        assert eventually("it gets on", lambda: "a checkpoint has not ended" not in tidemark("jobs", home=hasty_home).stdout)
    finally:
        file.unlink(missing_ok=True)
        cluster.cancel(job, timeout_s=PATIENCE_S)


def python_workers(home: Path) -> set[int]:
    return {process.pid for process in marked(state_of(home).mark) if "pyflink.fn_execution.beam.beam_boot" in process.cmdline()}


def test_a_job_that_does_not_fit_is_refused_with_the_number_with_which_it_runs(hasty_home: Path) -> None:
    of_the_shop = {"TIDEMARK_DEFINITIONS": str(shop.DEFINITIONS), "TIDEMARK_SCHEMAS": str(shop.SCHEMAS), "TIDEMARK_START_TIMEOUT": "300s"}
    cluster = flink.Cluster(endpoints_of(hasty_home)["flink"])
    assert eventually("replaced TaskManagers have found the JobManager", lambda: cluster.room().slots == 12)
    refused = tidemark("submit", "features", "--parallelism", "13", home=hasty_home, **of_the_shop)
    assert (refused.returncode, refused.stderr) == (
        3,
        "tidemark: job features: not submitted: it needs 13 slots, 12 of 12 are free: `tidemark cancel` what is not needed, or TIDEMARK_FLINK_SLOTS=13, "
        "then `tidemark down` and `tidemark up`\n",
    )
    refused = tidemark("submit", "features", home=hasty_home, **of_the_shop)
    assert refused.returncode == 3
    told = (
        r"^tidemark: job features: not submitted: its \d+ window operators need (\d+) MB of a slot, and a slot of the cluster has 16 MB: "
    )
    found = re.search(told + r"TIDEMARK_FLINK_SLOT_MEMORY=\1MB, ", refused.stderr)
    assert found is not None, refused.stderr
    assert tidemark("down", home=hasty_home).returncode == 0
    assert up(hasty_home, **HASTY, TIDEMARK_FLINK_SLOT_MEMORY=f"{found[1]}MB").returncode == 0
    submitted = tidemark("submit", "features", home=hasty_home, **of_the_shop)
    assert submitted.returncode == 0, submitted.stderr
    assert tidemark("status", home=hasty_home).returncode == 0
