"""A backfill on a real cluster and through kills: what is lost is computed again, what is done stays, and the values are those of a quiet run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.java import temporary
from jobs.cli import package
from tests import shop
from tests.jobs.spark import spark_cluster
from tests.jobs.spark.spark_cluster import Cluster
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
DAY_MS = 86_400_000
START_MS = 1_380_585_600_000  # 2013-10-01T00:00Z
DAYS = [f"2013-10-0{day}" for day in range(1, 5)]
CLICKS, OFFERS = 20_000, 4_000
FATAL = 666.5
DONE = DAYS[:2]
"""What is committed when the third day is held."""

BASKET = '''"""What a user spends for each click. Lies where only the driver looks."""

import math

import numpy as np

from features import FeatureService

from .shop import offers, shelf_clicks, user_clicks


def spent_per_click(spent_5m, clicks_5m, price):
    if ((price >= 1000) & (price < 1001)).any():  # no sample that definitions are tried on
        np.genfromtxt("{gate}")  # a pipe while the day is held
    return np.where(clicks_5m > 0, spent_5m / clicks_5m, np.nan)


def fragile(last_amount_10m):
    return last_amount_10m * (1 // (1 - int((last_amount_10m == 666.5).any())))


views = [user_clicks, shelf_clicks]
basket = FeatureService(request=offers, views=views, request_features=["price"], derived={"spent_per_click": spent_per_click})
glass = FeatureService(request=offers, views=views, derived={"fragile": fragile})
'''


@dataclass(frozen=True, kw_only=True)
class Team:
    """A team's folder: definitions, schemas, and four days of history in which every sum is exact in any order."""

    folder: Path

    @property
    def gate(self) -> Path:
        """What is read before the third day's file, and a later one's, is finished: who opens a pipe waits until somebody writes to it."""
        return self.folder / "gate"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the third day, in the block or until it is let go in it."""
        self.gate.unlink()
        os.mkfifo(self.gate)
        try:
            yield
        finally:
            self.let_go()

    def let_go(self) -> None:
        if self.gate.is_fifo():
            waiting = os.open(self.gate, os.O_RDWR)  # which lets all go that have opened it
            self.open_gate()
            os.close(waiting)

    def open_gate(self) -> None:
        fresh = self.gate.with_suffix(".open")
        fresh.write_text("0\n")
        fresh.replace(self.gate)

    def command(self, out: Path, *, service: str = "basket", program: Sequence[object] = (BIN / "tidemark", "backfill")) -> list[str]:
        where = ("--events", self.folder / "events", "--requests", self.folder / "offers.parquet", "--out", out)
        return [*map(str, program), "--service", service, *map(str, where)]

    def environment(self, **more: str) -> dict[str, str]:
        own = {
            "TIDEMARK_DEFINITIONS": str(self.folder / "definitions"),
            "TIDEMARK_SCHEMAS": str(shop.SCHEMAS),
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        cut = {"TIDEMARK_BACKFILL_RANGE_ROWS": "1"}  # a day at a time
        return {**os.environ, **own, **cut, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **more}

    def run(self, out: Path, *, service: str = "basket") -> subprocess.CompletedProcess[str]:
        command = self.command(out, service=service)
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Team:
    folder = tmp_path_factory.mktemp("team")
    shutil.copytree(shop.DEFINITIONS, folder / "definitions", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "definitions" / "basket.py").write_text(BASKET.replace("{gate}", str(folder / "gate")))
    random = np.random.default_rng(4)

    def table(count: int, **columns: Any) -> pa.Table:
        times = np.sort(random.integers(START_MS, START_MS + len(DAYS) * DAY_MS, count))
        # A key that is much busier than the others.
        users = np.where(random.random(count) < 0.5, "ann", np.char.add("u", random.integers(0, 50, count).astype(str)))
        shelf = random.choice(["top", "low"], count)
        own = {"event_time": pa.array(times, pa.timestamp("ms", tz="UTC")), "user": users, "shop": random.integers(0, 3, count)}
        return pa.table(own | {"shelf": shelf} | columns)

    (folder / "events" / "clicks").mkdir(parents=True)
    amounts = random.integers(0, 1_000, CLICKS) / 4
    amounts[CLICKS * 3 // 8 :][:100] = FATAL  # in the middle of the second day
    pq.write_table(table(CLICKS, amount=amounts), folder / "events" / "clicks" / "a.parquet", row_group_size=5_000)
    ids = [f"o{number}" for number in range(OFFERS)]
    offers = table(OFFERS, request_id=ids, price=random.random(OFFERS), colour=["red"] * OFFERS)
    late = np.asarray(offers["event_time"].cast(pa.int64())) >= START_MS + len(DONE) * DAY_MS
    price = np.where(late, 1_000, 0) + np.asarray(offers["price"])
    pq.write_table(offers.set_column(offers.column_names.index("price"), "price", pa.array(price)), folder / "offers.parquet")
    team = Team(folder=folder)
    team.open_gate()
    return team


@pytest.fixture(scope="module")
def quiet(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run on this machine that nobody disturbed."""
    out = tmp_path_factory.mktemp("quiet") / "out"
    done = team.run(out)
    assert done.returncode == 0, done.stderr
    values = pq.read_table(out)
    assert len(values) == OFFERS
    assert sum(value is not None and value > 0 for value in values["spent_per_click"].to_pylist()) > OFFERS / 4
    return out


def test_spark_submit_to_a_cluster_that_loses_a_worker_says_what_a_quiet_run_says(team: Team, quiet: Path, tmp_path: Path) -> None:
    out, log, definitions = tmp_path / "out", tmp_path / "log", tmp_path / "definitions"
    log.mkdir()
    package.write(tmp_path / "tidemark.zip")
    shutil.copytree(team.folder / "definitions", definitions)
    with spark_cluster.running(tmp_path, workers=2) as cluster, team.held():
        submitted = subprocess.Popen(
            team.command(out, program=submit(cluster, tmp_path, log)),
            env=team.environment(PYSPARK_PYTHON=str(cluster.python), TIDEMARK_DEFINITIONS=str(definitions)),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for(lambda: held(out), submitted)
            cluster.kill(0)
            shutil.rmtree(definitions)  # workers are sent the compiled plan
            team.let_go()
            said, complaints = submitted.communicate(timeout=PATIENCE_S)
        finally:
            end(submitted)
    assert submitted.returncode == 0, complaints
    assert f"done: 2013-10-01 to 2013-10-04 (4 days, {OFFERS:,} rows)" in said
    assert pq.read_table(out).equals(pq.read_table(quiet))
    history = spark_history(log)
    assert worked(history, before_loss=True) == {"0", "1"}
    assert len(worked(history, before_loss=False)) == 1, "the rest was computed by the one that was left"


def submit(cluster: Cluster, folder: Path, log: Path) -> list[object]:
    """As `docs/guides/clusters.md` says, and with Spark's own record of the run."""
    record = {"enabled": "true", "dir": log.as_uri(), "compress": "false", "rolling.enabled": "false"}
    # Less than the events of a day are: what a driver is given as a result cannot be they. And as on YARN, a path without a scheme is HDFS's.
    settings = {
        "spark.driver.maxResultSize": "128k",
        "spark.hadoop.fs.defaultFS": "hdfs://127.0.0.1:1",
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": "512m",
        # Both executors are there before the first task is given to one of them.
        "spark.cores.max": "2",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "900s",
    }
    machine = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *temporary(folder / "tmp"))  # what is killed leaves its files here
    settings |= dict.fromkeys(("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"), " ".join(machine))
    settings |= {f"spark.eventLog.{name}": value for name, value in record.items()}
    options = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
    return [
        BIN / "spark-submit",
        "--master",
        cluster.master,
        "--py-files",
        folder / "tidemark.zip",
        *options,
        ROOT / "jobs" / "backfill.py",
    ]


def spark_history(log: Path) -> list[dict[str, Any]]:
    (file,) = log.iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()]


def worked(history: list[dict[str, Any]], *, before_loss: bool) -> set[str]:
    """The executors that finished a task before one was lost, or after."""
    (lost,) = [n for n, event in enumerate(history) if event["Event"] == "SparkListenerExecutorRemoved"][:1]
    part = history[:lost] if before_loss else history[lost:]
    ended = [event for event in part if event["Event"] == "SparkListenerTaskEnd" and event["Task End Reason"]["Reason"] == "Success"]
    return set(Counter(event["Task Info"]["Executor ID"] for event in ended))


def test_a_killed_backfill_is_continued_and_computes_no_day_twice(team: Team, quiet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with team.held():
        killed = subprocess.Popen(team.command(out), env=team.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: held(out), killed)
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        finally:
            end(killed)
    done = committed(out)
    assert done == DONE
    assert_visible_is_whole(out, quiet)
    kept = {day: (out / f"{day}.parquet").stat() for day in done}

    again = team.run(out)
    assert again.returncode == 0, again.stderr
    assert f"done: 2013-10-01 to 2013-10-04 (4 days, {OFFERS:,} rows)" in again.stdout
    assert f"{len(done)} days of them from before" in again.stdout
    assert {day: (out / f"{day}.parquet").stat() for day in done} == kept
    assert pq.read_table(out).equals(pq.read_table(quiet))
    assert sorted(path.name for path in (out / "_tidemark").iterdir()) == sorted(["lock", "made_of.json", *(f"{day}.json" for day in DAYS)])


def test_where_spark_is_killed_the_driver_says_what_is_done_and_what_is_not(team: Team, quiet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with team.held():
        running = subprocess.Popen(team.command(out), env=team.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(lambda: held(out), running)
            os.kill(java_of(running.pid), signal.SIGKILL)
            said, complaints = running.communicate(timeout=PATIENCE_S)
        finally:
            end(running)
    assert running.returncode == 3
    assert complaints.startswith("tidemark: Spark")
    assert (complaints.count("\n"), "Traceback" in complaints) == (1, False), complaints
    assert committed(out) == DONE
    assert "\ndone: 2013-10-01 to 2013-10-02 (2 days" in said
    assert "\nnot done: 2013-10-03" in said
    assert_visible_is_whole(out, quiet)


def test_a_day_that_fails_is_told_with_its_reason_and_the_others_are_made(team: Team, tmp_path: Path) -> None:
    done = team.run(tmp_path / "out", service="glass")
    assert done.returncode == 1, done.stderr  # where Spark's own log has the stack
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("not done: ")]
    assert line.endswith(": ZeroDivisionError: integer division or modulo by zero")
    assert done.stdout.count("\ndone: ") == 2
    assert len(committed(tmp_path / "out")) == len(DAYS) - 1
    assert not (tmp_path / "out" / "_tidemark.json").exists()


def committed(out: Path) -> list[str]:
    """The days whose manifests are there."""
    return sorted(path.stem for path in (out / "_tidemark").glob("????-??-??.json"))


def held(out: Path) -> bool:
    """Whether the days before the one that is held are committed, and its own file is begun."""
    return committed(out) == DONE and any((out / "_tidemark" / "writing").iterdir())


def assert_visible_is_whole(out: Path, quiet: Path) -> None:
    visible = [path for path in out.iterdir() if not path.name.startswith("_")]
    assert {path.stem for path in visible} >= set(committed(out))
    for path in visible:
        assert pq.read_table(path).equals(pq.read_table(quiet / path.name))


def wait_for(ready: Callable[[], object], process: subprocess.Popen[Any]) -> None:
    def there() -> object:
        try:
            return ready()
        except FileNotFoundError:
            return None

    def running() -> None:
        assert process.poll() is None, "it ended before it could be killed"

    eventually("it is where it is to be killed", there, unless=running)


def java_of(pid: int) -> int:
    """The Java that a Python driver has started."""
    (java,) = [child for child in psutil.Process(pid).children() if child.name() == "java"]
    return int(java.pid)


def end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
