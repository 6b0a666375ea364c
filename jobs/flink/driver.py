"""What a submitted job's Python driver runs: the job's `main`, its errors as one clear line for `tidemark submit` to show.

Imported, not run as a script: functions then go to the workers by name instead of as copies of their code.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence

from jobs.report.command import guarded


def run(module: str, arguments: Sequence[str]) -> int:
    """Import a job's module and call its `main()`, with the arguments when it takes any; returns its exit code."""

    def call() -> int:
        job = importlib.import_module(module).main
        outcome = job(arguments) if inspect.signature(job).parameters else job()
        return outcome if isinstance(outcome, int) else 0

    return guarded(call)
