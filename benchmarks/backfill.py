"""Our own commands, as the benchmarks of backfills run them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from benchmarks.benchmark import CORES, Figures
from benchmarks.processes import measured

_ROOT = Path(__file__).parents[1]
_MOST_SECONDS, _MOST_BYTES = 7_200, 20 * 2**30


def backfill(
    service: str,
    definitions: Path,
    *,
    events: Path,
    requests: Path,
    out: Path,
    schemas: Path | None = None,
    label: bool = False,
    submit: bool = False,
) -> Figures:
    """Run a backfill from its start to its exit, with Spark's scratch files beside the output, and remove those.

    Args:
        service: A feature service.
        definitions: The folder that declares it.
        events: Folder with one folder per source.
        requests: Folder of requests.
        out: Folder to write.
        schemas: The folder of the schemas; the shipped ones if None.
        label: Whether to add the label.
        submit: Run `spark-submit jobs/backfill.py`, whose Java optimises for long runs, instead of `tidemark backfill`.
    """
    scratch = out.with_name("spark")
    environ = {"TIDEMARK_DEFINITIONS": str(definitions), "SPARK_LOCAL_DIRS": str(scratch)}
    if schemas is not None:
        environ["TIDEMARK_SCHEMAS"] = str(schemas)
    binaries = Path(sys.executable).parent
    environ["PATH"] = f"{binaries}{os.pathsep}{os.environ['PATH']}"  # spark-submit asks the first python3 where Spark is
    submitted = (binaries / "spark-submit", "--master", f"local[{CORES}]", "--driver-memory", "4g", _ROOT / "jobs" / "backfill.py")
    started = submitted if submit else (binaries / "tidemark", "backfill")
    command = [*started, "--service", service, "--events", events, "--requests", requests, "--out", out]
    if label:
        command.append("--label")
    try:
        return measured(command, out.with_name("backfill.log"), environ=environ, most_seconds=_MOST_SECONDS, most_bytes=_MOST_BYTES)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
