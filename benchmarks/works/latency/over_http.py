"""Feast's feature server and a predict server beside it, asked over HTTP: what a request waits for its score without Kafka."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.benchmark import CORES, Figures, WrongAnswerError
from benchmarks.online.valkey import valkey
from benchmarks.processes import CommandError, Family, bind, measured
from benchmarks.scoring import inputs, plain
from inference.model.manifest import MODEL_FILE

HERE = Path(__file__).parent
RATES = (200, 1_000, 2_000)
_BEHIND = 3
"""Exit code of `open_loop_http.py`."""
_START_S = 60.0


def requests(seconds: int) -> int:
    """How many there are when each rate is kept for so long, and the first once before."""
    return (RATES[0] + sum(RATES)) * seconds


def prepare(folder: Path, served: pa.Table) -> None:
    """Write the requests, and the values of every entity that they name.

    Args:
        folder: Where to.
        served: Requests with what the store serves for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(served, folder / "requests.parquet")
    (folder / "values").mkdir(exist_ok=True)
    for name, table in plain.values(inputs.service(), served).items():
        times = pa.array([datetime.now(UTC)] * len(table), type=pa.timestamp("us", tz="UTC"))
        pq.write_table(table.append_column("event_timestamp", times), folder / "values" / f"{name}.parquet")


def run(interpreter: Path, model: Path, given: Path, seconds: int) -> Callable[[Path], Figures]:
    """Both servers, asked at each rate until one is too fast for them.

    Args:
        interpreter: Of the peer's environment.
        model: Folder of the model.
        given: What `prepare` has written.
        seconds: At each rate.
    """

    def once(out: Path) -> Figures:
        figures: dict[str, float] = {"seconds": 0.0}
        with valkey(out) as address, _servers(interpreter, model, given, address, out) as url:
            first = 0
            for number, rate in enumerate((RATES[0], *RATES)):  # the first time to warm up
                count, started = rate * seconds, time.monotonic()
                waited = _asked(interpreter, url, given, rate, first, count, out, patient=number < 2)
                if waited is None:
                    break
                if number:
                    figures[f"p50_{rate}_per_second_seconds"] = float(np.quantile(waited, 0.5))
                    figures[f"p99_{rate}_per_second_seconds"] = float(np.quantile(waited, 0.99))
                    figures["seconds"] += time.monotonic() - started
                first += count
        return figures

    return once


def right(out: Path, truth: NDArray[np.float64]) -> None:
    """Compare all scores with the model's.

    Args:
        out: With `asked-<number of the first request>.npz` of each rate.
        truth: The model's score of every request.

    Raises:
        WrongAnswerError: A request has none, or another.
    """
    files = list(out.glob("asked-*.npz"))
    if not files:
        raise WrongAnswerError("no request was answered")
    for file in files:
        first, scores = int(file.stem.removeprefix("asked-")), np.load(file)["scores"]
        if np.isnan(scores).any():
            raise WrongAnswerError(f"{np.count_nonzero(np.isnan(scores)):,} of {len(scores):,} requests have no score")
        if not np.array_equal(scores, truth[first : first + len(scores)]):
            raise WrongAnswerError("scores that are not the model's")


def _asked(
    interpreter: Path, url: str, given: Path, rate: int, first: int, count: int, out: Path, *, patient: bool
) -> NDArray[np.float64] | None:
    """How long each request waited, float64[count]; None where the rate was too high."""
    file = out / f"asked-{first}.npz"
    arguments = [url, given / "requests.parquet", rate, first, count, file, *(["patient"] if patient else [])]
    command = [str(part) for part in (interpreter, HERE / "open_loop_http.py", *arguments)]
    with (out / "log-client").open("ab") as log:
        ended = subprocess.run(command, stdout=log, stderr=log, check=False)
    if ended.returncode == _BEHIND:
        return None
    if ended.returncode:
        raise CommandError(f"open_loop_http.py ended with exit code {ended.returncode}; log: {out / 'log-client'}")
    waited: NDArray[np.float64] = np.load(file)["waited"]
    return waited


@contextmanager
def _servers(interpreter: Path, model: Path, given: Path, address: str, out: Path) -> Iterator[str]:
    """The URL to ask."""
    repository = out / "repository"
    repository.mkdir()
    measured((interpreter, HERE / "feast_repository.py", address, given / "values", repository), out / "log-repository")
    ports = _free_ports(2)
    feast = f"http://127.0.0.1:{ports[0]}"
    serve = ["serve", "--host", "127.0.0.1", "--port", ports[0], "--workers", CORES, "--no-access-log", "--max-requests", 0]
    names = ",".join(inputs.service().feature_types)
    with (
        _server([interpreter.with_name("feast"), "-c", repository, *serve], f"{feast}/health", out / "log-feast"),
        _server(
            [interpreter, HERE / "predict_server.py", model / MODEL_FILE, feast, ports[1], names],
            f"http://127.0.0.1:{ports[1]}/health",
            out / "log-predict",
        ),
    ):
        yield f"http://127.0.0.1:{ports[1]}/predict"


@contextmanager
def _server(command: Sequence[object], health: str, log: Path) -> Iterator[None]:
    environ = {**os.environ, "HOME": str(log.parent)}  # where gunicorn leaves a socket
    with log.open("wb") as output:
        process = psutil.Popen(
            list(map(str, command)), env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=bind
        )
    try:
        until = time.monotonic() + _START_S
        while not _healthy(health):
            if process.poll() is not None or time.monotonic() > until:
                raise CommandError(f"{Path(str(command[0])).name} does not start; log: {log}")
            time.sleep(0.2)
        yield
    finally:
        Family(process).end()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
