"""`tidemark test`: judges the declared cases of the definitions, without services."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from features.catalog import SHIPPED_DEFINITIONS, TESTS
from features.testing import load
from features.testing.cases import read_cases
from features.testing.verdict import judge
from infra.settings import Settings

COMMANDS = {"test": "Judge the declared cases of the definitions, without services"}


def command(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A folder of cases (*.yaml), or one file; `tests` below the definitions when not given.", show_default=False),
    ] = None,
) -> int:
    """Feed declared events to views and services, and compare their features with what is expected; exit code 1 where they differ."""
    settings = Settings.load()
    harness = load(settings.definitions, settings.schemas)
    started = time.perf_counter()
    cases = read_cases(folder or (settings.definitions or SHIPPED_DEFINITIONS) / TESTS, harness)
    failed = 0
    for case in cases:
        found = judge(case)
        failed += bool(found)
        print("\n    ".join([f"{'FAIL' if found else 'ok  '} {case.file}: {case.name}", *found]))
    print(f"\n{len(cases) - failed} of {len(cases)} cases hold ({time.perf_counter() - started:.2f} s)")
    return 1 if failed else 0
