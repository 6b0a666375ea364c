"""Whatever the size of history, the driver sees counts and file names only: no call that brings rows to it is in the code of a backfill."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
CALLS = {"collect", "collectAsMap", "toPandas", "toArrow", "toLocalIterator", "take", "head", "first", "tail", "broadcast", "foreach"}
ALLOWED = {("jobs/spark/relation.py", "at_once", "toLocalIterator")}
"""The one place: counts by day and fault, counts by bucket and slot, and a row for each file."""


def of_a_backfill() -> set[Path]:
    """The modules of `jobs` that it imports, directly or not, and that use Spark."""
    found: set[Path] = set()
    open_ = {ROOT / "jobs" / "backfill.py"}
    while open_:
        path = open_.pop()
        found.add(path)
        open_ |= {module for module in imported(path) if module not in found}
    return {path for path in found if "pyspark" in path.read_text()}


def imported(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "jobs":
            module = ROOT.joinpath(*(node.module or "").split("."))
            for name in (module, *(module / alias.name for alias in node.names)):
                if name.with_suffix(".py").is_file():
                    yield name.with_suffix(".py")


def uses(path: Path) -> Iterator[tuple[str, str, str]]:
    for function in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                called = node.func if isinstance(node, ast.Call) else node
                if isinstance(called, ast.Attribute) and called.attr in (CALLS if called is not node else {"rdd"}):
                    yield str(path.relative_to(ROOT)), function.name, called.attr


def test_nothing_of_a_backfill_brings_rows_to_the_driver() -> None:
    modules = of_a_backfill()
    assert {path.stem for path in modules} >= {"backfill", "parquet_source", "point_in_time_join", "kafka_source", "session"}
    assert {use for path in modules for use in uses(path)} == ALLOWED
