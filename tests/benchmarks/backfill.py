"""Our own command, as the benchmarks of backfills run it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.benchmarks.benchmark import Figures
from tests.benchmarks.processes import measured

_MOST_SECONDS, _MOST_BYTES = 7_200, 20 * 2**30


def backfill(
    service: str, definitions: Path, *, events: Path, requests: Path, out: Path, schemas: Path | None = None, label: bool = False
) -> Figures:
    """Run `tidemark backfill` from its start to its exit, with Spark's scratch files beside the output, and remove those.

    Args:
        service: A feature service.
        definitions: The folder that declares it.
        events: Folder with one folder per source.
        requests: Folder of requests.
        out: Folder to write.
        schemas: The folder of the schemas; the shipped ones if None.
        label: Whether to add the label.
    """
    scratch = out.with_name("spark")
    environ = {"TIDEMARK_DEFINITIONS": str(definitions), "SPARK_LOCAL_DIRS": str(scratch)}
    if schemas is not None:
        environ["TIDEMARK_SCHEMAS"] = str(schemas)
    paths: list[str | Path] = ["--events", events, "--requests", requests, "--out", out]
    command: list[str | Path] = [Path(sys.executable).with_name("tidemark"), "backfill", "--service", service, *paths]
    if label:
        command.append("--label")
    try:
        return measured(command, out.with_name("backfill.log"), environ=environ, most_seconds=_MOST_SECONDS, most_bytes=_MOST_BYTES)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
