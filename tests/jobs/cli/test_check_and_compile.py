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


def test_check_lists_views_windows_and_services(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    output = capsys.readouterr()
    views, windows, services = (part.splitlines() for part in output.out.split("\n\n"))
    assert [line.split()[0] for line in views] == ["VIEW", "user_ever", "every_aggregation", "user_spending", "user_habits"]
    assert "1h,lifetime" in views[1].split()
    assert views[2].split()[1:7] == ["events", "user,shop", "1m", "45s", "10m,1h,2h", "34"]
    assert [line.split()[0] for line in services] == ["SERVICE", "buy"]
    assert windows[0].split() == ["VIEW", "WINDOW", "HOP", "FEATURES", "TILES/READ", "LEVELS", "BYTES/KEY"]
    assert [line.split()[:-1] for line in windows[1:3] + windows[6:9]] == [
        ["user_ever", "lifetime", "-", "7", "301", "base", "+", "300×5m"],
        ["1h", "-", "2", "12", "12×5m"],
        ["user_spending", "1h", "-", "1", "12", "12×5m"],
        ["user_habits", "90d", "1d", "2", "172", "90×1d", "+", "23×1h", "+", "59×1m"],
        ["30d", "1d", "3", "112", "30×1d", "+", "23×1h", "+", "59×1m"],
    ]
    assert [line.split()[-1][0] == "≥" for line in windows[1:7]] == [True] * 5 + [False]  # where tiles keep text
    assert max(map(len, views + windows)) <= 120
    assert output.err == ""


LONG = """
from datetime import timedelta
from features import Count, FeatureView, Lifetime, Sum
from .sources import events, hour, minute, user
day = timedelta(days=1)
long = FeatureView(
    entity=user,
    source=events,
    tile=minute,
    features={"a": Count().over(30 * day), "b": Sum("amount").over(30 * day), "c": Count().over(90 * day, hop=hour), "d": Count().over(hour)},
)
ever = FeatureView(entity=user, source=events, tile=minute, features={"e": Lifetime(Count()), "f": Count().over(30 * day, hop=day)})
"""


def test_check_warns_of_dear_windows_with_the_hop_that_would_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sources.py").write_text((EVERY / "definitions" / "sources.py").read_text())
    (tmp_path / "long.py").write_text(LONG)
    monkeypatch.setenv("TIDEMARK_DEFINITIONS", str(tmp_path))
    monkeypatch.setenv("TIDEMARK_TILE_SLACK", "0s")
    assert main(["check"]) == 0
    output = capsys.readouterr()
    assert output.err.splitlines() == [
        "check: long.c: hop 1h is small for 90d: 2,219 tiles a read, 80.3KiB a key; hop=1d would take 172 and 6.3KiB",
        "check: long.a and 1 more: exact sliding over 30d is dear: 779 tiles a read, 1.5MiB a key; hop=1d would take 112 and 4.2KiB",
        "check: ever.f: hop 1d saves nothing beside Lifetime features: 44,639 tiles a read, 1.2MiB a key; "
        "in a view without Lifetime features hop=1d would take 112 and 3.3KiB",
    ]
    assert "43,200×" not in output.out


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
