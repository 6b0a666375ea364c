"""Flink's own client, in a process of its own: how a job's driver is run by it, and what is understood of what it says when it fails."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from infra import flink_cluster, log4j
from infra.java import QUICK, java_home, temporary
from infra.service import tail
from infra.settings import Settings
from schemas.errors import DataError, DefinitionError, ServiceError, SettingError, TidemarkError
from schemas.wording import sentence

_CAUSE = re.compile(r"^(?:Caused by: )?((?:\w+\.)*\w*(?:Error|Exception)\b.*)$")
_DRIVER_ENDED = re.compile(r"Python process exits with code: (\d+)")
_DRIVER_ERRORS: dict[str, type[TidemarkError]] = {str(error.exit_code): error for error in (DefinitionError, SettingError, DataError)}
_OTHER_GRAPH = re.compile(r"Cannot map checkpoint/savepoint state|There is no operator for the state|current maximum parallelism")
_WRAPPER = re.compile(r"Python process exits with code|ProgramAbortException")
# The planner of a hundred features takes a few hundred megabytes, for as long as it plans.
_JVM = ("-Xmx1536m", "-Xss4m", "-XX:+UseSerialGC", *QUICK)
_DRIVER = """\
# Written by `tidemark submit`; a script of its own, so that the folder jobs/ is not ahead of the package `features` on the path.
import sys

from jobs.flink.driver import run

sys.exit(run({module!r}, sys.argv[1:]))
"""


def command(module: str, arguments: Sequence[str], name: str, checkpoint: str | None, settings: Settings) -> Sequence[str]:
    """Flink's own client, without its shell scripts; what it is told is in a configuration folder of this submission."""
    folder = _folder(settings, name)
    shutil.rmtree(folder / "tmp", ignore_errors=True)  # what an earlier client left: it is killed when its job runs
    folder.mkdir(parents=True, exist_ok=True)
    driver = folder / "driver.py"
    driver.write_text(_DRIVER.format(module=module))
    config = _configuration(name, checkpoint, settings)
    (folder / "config.yaml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items()))
    java = f"{java_home()}/bin/java"
    logging = log4j.options(folder, log=settings.home / "logs" / f"submit-{name}.client.log")
    client = ("-cp", flink_cluster.classpath(settings), "org.apache.flink.client.cli.CliFrontend")
    jvm = (java, *_JVM, *temporary(folder / "tmp"), *flink_cluster.JVM_ACCESS, *logging)
    return (*jvm, *client, "run", "--detached", "--python", str(driver), *arguments)


def _folder(settings: Settings, name: str) -> Path:
    return settings.home / "flink" / "submit" / name


def _configuration(name: str, checkpoint: str | None, settings: Settings) -> dict[str, str | int | bool]:
    address = urlsplit(settings.flink_url)
    resume = {} if checkpoint is None else {"execution.state-recovery.path": checkpoint, "execution.state-recovery.claim-mode": "CLAIM"}
    return {
        "execution.target": "remote",
        "rest.address": address.hostname or "",
        "rest.port": address.port or (443 if address.scheme == "https" else 80),
        "security.ssl.rest.enabled": address.scheme == "https",
        # The job manager's own address is not asked, but has to be there.
        "jobmanager.rpc.address": address.hostname or "",
        **flink_cluster.NO_LOGIN,
        # Flink 2.3 takes from the job how long its own dispatcher may need for it: 10 s, by which a large graph on a busy machine was not there.
        "pekko.ask.timeout": f"{settings.start_timeout_ms}ms",
        "pipeline.name": name,
        "parallelism.default": settings.parallelism,
        "execution.checkpointing.dir": (settings.home / "checkpoints" / name).as_uri(),
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_ms}ms",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "python.client.executable": sys.executable,
        "python.executable": settings.python or sys.executable,
        "python.fn-execution.bundle.time": settings.bundle_time_ms,
        "python.fn-execution.bundle.size": settings.bundle_size,
        "python.fn-execution.arrow.batch.size": settings.bundle_size,
        **resume,
    }


def run(command: Sequence[str], *, name: str, log: Path, settings: Settings) -> str:
    """Run it in a process group of its own, which is ended with all that it started, Python driver and all; returns what it wrote."""
    folder = _folder(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        client = subprocess.Popen(
            command,
            env=flink_cluster.environment(folder, folder / "tmp") | settings.environment(),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        code = client.wait(settings.start_timeout_ms / 1000)
    except subprocess.TimeoutExpired:
        limit = f"{settings.start_timeout_ms / 1000:g} s (TIDEMARK_START_TIMEOUT)"
        raise ServiceError(
            f"job {name}: its driver did not submit it within {limit}: {(tail(log) or ['it wrote nothing'])[-1]} (log: {log})"
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(client.pid, signal.SIGKILL)
        client.wait()
    if code:
        lines = tail(log)
        ended = next((match for line in reversed(lines) if (match := _DRIVER_ENDED.search(line))), None)
        error = _DRIVER_ERRORS.get(ended[1] if ended else "", ServiceError)
        raise error(f"job {name}: not submitted: {root_cause(lines) or f'exit code {code}'} (log: {log})")
    return log.read_text(errors="replace")


def root_cause(lines: Sequence[str]) -> str | None:
    """The line of a log or stack trace that a person would look for: our own clear line, else the innermost exception."""
    for line in reversed(lines):
        if line.startswith("tidemark: "):
            return line.removeprefix("tidemark: ")
    if any(_OTHER_GRAPH.search(line) for line in lines):
        return (
            "its graph is not that of its checkpoint: definitions, a parallelism of 1, the stages of a model or Tidemark itself have changed; "
            "submit it with --fresh"
        )
    causes = [match[1] for line in lines if (match := _CAUSE.match(line.strip())) and not _WRAPPER.search(line)]
    return sentence(causes[-1]) if causes else None
