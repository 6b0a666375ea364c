"""No test's outcome is a matter of which thread comes first or how fast the machine is: what gives that away is not written in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "time", "time_ns", "process_time"}
TIMEOUTS = {"timeout", "timeout_s", "within_s", "deadline_s"}
SHORT_S, LONG_S = 3, 900
"""Shorter: what is tested is that it is given up. As long: `tests.waiting.PATIENCE_S`."""
PROGRAMS = ("benchmarks", "faults")
"""Measured by hand, or minutes long and ended when nothing comes any more."""


@cache
def trees() -> dict[str, ast.Module]:
    files = (path for path in ROOT.rglob("*.py") if path.name != "waiting.py")
    names = {path: path.relative_to(ROOT) for path in sorted(files)}
    return {
        str(name): ast.parse(path.read_text())
        for path, name in names.items()
        if name.parts[0] not in PROGRAMS or (name.parts[0] == "benchmarks" and path.name.startswith("test_"))
    }


def places(wrong: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, wrong):
                yield f"{name}:{getattr(node, 'lineno', 0)}", node


def called(node: ast.AST) -> str:
    """The last name of what is called: of `time.sleep(1)` it is `sleep`."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""


def is_late(node: ast.AST) -> bool:
    """Whether it compares with a clock, and asks for more than that enough time has passed."""
    if not isinstance(node, ast.Compare):
        return False
    at = [index for index, side in enumerate([node.left, *node.comparators]) if any(called(each) in CLOCKS for each in ast.walk(side))]
    return bool(at) and not (at == [0] and len(node.ops) == 1 and isinstance(node.ops[0], ast.Gt | ast.GtE))


@pytest.mark.slow
def test_none_asserts_that_something_was_fast() -> None:
    found = [place for place, node in places(ast.Assert) if any(map(is_late, ast.walk(node)))]
    assert found == [], "wait for the event (tests.waiting.eventually), or give the code a clock of the test's own"


@pytest.mark.slow
def test_none_sleeps_for_a_time() -> None:
    found = [place for place, node in places(ast.Call) if called(node) == "sleep"]
    assert found == [], "wait for the event: tests.waiting.eventually"


def test_none_waits_for_less_than_any_machine_needs() -> None:
    found = []
    for place, node in places(ast.Call):
        assert isinstance(node, ast.Call)
        given = [each.value for each in node.keywords if each.arg in TIMEOUTS] + (node.args if called(node) == "flush" else [])
        found += [
            place
            for each in given
            if isinstance(each, ast.Constant) and isinstance(each.value, int | float) and SHORT_S < each.value < LONG_S
        ]
    assert found == [], "as long as tests.waiting.PATIENCE_S; it costs nothing where it comes"


def test_none_is_given_up_by_hypothesis_since_it_is_slow() -> None:
    found = []
    for place, node in places(ast.Call):
        if called(node) not in ("settings", "register_profile") or not isinstance(node, ast.Call):
            continue
        given = {each.arg: ast.unparse(each.value) for each in node.keywords}
        if given.get("deadline", "None") != "None" or "too_slow" not in given.get("suppress_health_check", "too_slow"):
            found.append(place)
    assert found == [], "how long an example takes is the machine's affair"


@pytest.mark.parametrize(
    ("line", "late"),
    [
        ("time.monotonic() - started < 5", True),
        ("0.5 <= time.monotonic() - started < 5", True),
        ("5 > perf_counter() - started", True),
        ("time.monotonic() - started >= 0.5", False),
        ("took < 5", False),
    ],
)
def test_a_clock_may_be_asked_whether_enough_time_has_passed(line: str, late: bool) -> None:
    assert any(map(is_late, ast.walk(ast.parse(line)))) is late
