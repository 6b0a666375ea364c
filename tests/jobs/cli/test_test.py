"""`tidemark test`: the example's cases hold out of the box; what fails is told, with exit code 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cli.main import main

CASES = Path(__file__).parents[3] / "features" / "definitions" / "tests"


def test_the_examples_cases_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test"]) == 0
    shown = capsys.readouterr().out
    assert "ok   features/definitions/tests/flight_delay.yaml: what_the_model_sees\n" in shown
    assert "\n4 of 4 cases hold (" in shown


def test_a_case_that_fails_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (CASES / "origin_departures.yaml").read_text()
    (tmp_path / "cases.yaml").write_text(text.replace("origin_late_1h: 1", "origin_late_1h: 2"))
    assert main(["test", str(tmp_path)]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"FAIL {tmp_path}/cases.yaml: departures_of_an_hour"
    assert shown[1] == "    as of 2013-10-01T10:30:00.000Z, origin=EWR: origin_late_1h: expected 2, got 1"
    assert shown[-1].startswith("2 of 3 cases hold")


def test_a_file_with_problems_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cases.yaml").write_text("a: {view: origin_departures}\nb: {view: origins}\n")
    assert main(["test", str(tmp_path / "cases.yaml")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith(f"tidemark: {tmp_path}/cases.yaml:") for line in lines)


def test_modules_in_the_folder_of_tests_are_no_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in CASES.parent.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "sources.py").rename(tmp_path / "tests.py")  # a module of this name is one
    for path in tmp_path.glob("*.py"):
        path.write_text(path.read_text().replace("from .sources", "from .tests"))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_views.py").write_text("raise AssertionError('a test is no definition')\n")
    (tmp_path / "tests" / "cases.yaml").write_text((CASES / "flight_delay.yaml").read_text())
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(tmp_path))
    assert main(["test"]) == 0
    assert "1 of 1 cases hold" in capsys.readouterr().out
