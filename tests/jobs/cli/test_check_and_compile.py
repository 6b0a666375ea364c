"""`tidemark check` and `tidemark compile`: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.cli.main import main

EVERY = Path(__file__).parents[2] / "features" / "every"


@pytest.fixture(autouse=True)
def definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(EVERY / "definitions"))
    monkeypatch.setenv("TIDEMARK_SCHEMAS", str(EVERY / "schemas"))


def test_check_lists_views_and_services(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line] == ["VIEW", "user_ever", "every_aggregation", "user_spending", "SERVICE", "buy"]
    assert "1h,lifetime" in lines[1].split()
    assert lines[2].split()[1:7] == ["events", "user,shop", "1m", "45s", "10m,1h,2h", "34"]


def test_check_shows_every_problem_on_a_line_and_exits_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("1 / 0\n")
    (tmp_path / "b.py").write_text("from features import Source\ns = Source(topic='t', schema='nothing')\n")
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(tmp_path))
    assert main(["check"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        f"tidemark: {tmp_path / 'a.py'}:1: ZeroDivisionError: division by zero",
        f'tidemark: s: no schema "nothing" (nothing.avsc); there are event, request, scored ({tmp_path / "b.py"})',
    ]


def test_check_names_a_missing_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(tmp_path / "nowhere"))
    assert main(["check"]) == 2
    assert "nowhere is not a folder; TIDEMARK_DEFINITIONS names" in capsys.readouterr().err


def test_compile_prints_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "user_spending"]) == 0
    assert json.loads(capsys.readouterr().out)["view"] == "user_spending"


@pytest.mark.parametrize(("engine", "sign"), [("flink", "TUMBLE"), ("spark", "TIMESTAMP_MILLIS"), ("feast", "OnDemandFeatureView")])
def test_compile_prints_an_engine_s_rendering_of_all_views(engine: str, sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "--engine", engine]) == 0
    output = capsys.readouterr().out
    assert all(word in output for word in (sign, "every_aggregation", "user_spending"))


def test_compile_of_an_unknown_view_says_which_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "user_spendin"]) == 2
    assert capsys.readouterr().err == 'tidemark: compile: no view "user_spendin"; did you mean "user_spending"?\n'


def test_compile_for_an_unknown_engine_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "--engine", "storm"]) == 2
    assert "'plan', 'flink', 'spark', 'feast'" in capsys.readouterr().err
