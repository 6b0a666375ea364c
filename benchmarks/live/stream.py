"""The jobs on an empty broker and an empty store, and payments that come."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

import psutil

from benchmarks import services
from benchmarks.benchmark import Workspace
from benchmarks.live import inputs
from benchmarks.processes import CommandError
from inference.online.redis.connection import Client, connect
from infra import flink, flink_submission, runtime
from infra.settings import Settings

_PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Live:
    """A runtime.

    Attributes:
        settings: Of it, and of the jobs.
    """

    settings: Settings

    @classmethod
    def of(cls, workspace: Workspace) -> Live:
        """Start it."""
        return cls(settings=replace(services.start(workspace), definitions=inputs.DEFINITIONS, schemas=inputs.SCHEMAS, parallelism=1))

    @property
    def client(self) -> Client:
        """Of the store."""
        return connect(self.settings.redis_url)

    @property
    def taskmanager(self) -> psutil.Process:
        """In which the jobs run; its children are their Python workers."""
        state = runtime.running(self.settings)
        assert state is not None
        (pid,) = (each.pid for each in state.services if each.name == "flink-taskmanager")
        return psutil.Process(pid)

    def empty(self) -> None:
        """Forget every topic, all that is stored, and what jobs of an earlier run have left."""
        services.remove(self.settings, lambda topic: not topic.startswith("__"))
        self.client.flushall()
        for job in ("features", "materialize"):
            services.forget(self.settings, job, inputs.SOURCE)

    @contextmanager
    def jobs(self) -> Iterator[None]:
        """Events to tiles, and tiles to the store, for as long as the block."""
        cluster = flink.Cluster(self.settings.flink_url)

        def submitted(name: str) -> str:
            id = flink_submission.submit(f"jobs.{name}", [], name=name, settings=self.settings, fresh=True)
            ended.callback(cluster.cancel, id)
            return id

        with ExitStack() as ended:
            ids = [submitted("features"), submitted("materialize")]
            yield
            for job in map(cluster.job, ids):
                if job.restarts or job.state != "RUNNING":
                    raise CommandError(f"job {job.name}: {job.state.lower()}, restarted {job.restarts} times")

    @contextmanager
    def payments(self, rate: int, seconds: int) -> Iterator[Sender]:
        """Payments of now; at the end of the block the last of them is waited for."""
        command = [sys.executable, "-m", "benchmarks.live.send", self.settings.kafka_servers, str(rate), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise CommandError("the sender has not begun")
            sender = Sender(begin_ms=int(line))
            yield sender
            told, _ = process.communicate(timeout=_PATIENCE_S)
            if process.returncode:
                raise CommandError("the sender has failed")
            sender.behind_s = float(told)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


@dataclass(kw_only=True)
class Sender:
    """Of payments.

    Attributes:
        begin_ms: When the first is due.
        behind_s: By how much it was late at most, when it has ended.
    """

    begin_ms: int
    behind_s: float = 0.0
