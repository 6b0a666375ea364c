"""What keeps the benchmarks honest: turns, warm-up, checks, whole process trees; and `docs/benchmarks.md` shows what was measured."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from benchmarks import environments, results, sizing, table
from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role, Workspace, WrongAnswerError, benchmarks
from benchmarks.processes import CommandError, Family, measured
from benchmarks.rounds import measure
from benchmarks.units import shown

MIB = 2**20


def contender(name: str, run: Callable[[Path], Figures], check: Callable[[Path], None] = lambda out: None) -> Contender:
    return Contender(name=name, role=Role.OURS, what="", run=run, check=check)


def benchmark(*contenders: Contender, **options: object) -> Benchmark:
    return Benchmark(title="", prepare=lambda workspace: contenders, goals=(), **options)  # type: ignore[arg-type]


def workspace(folder: Path) -> Workspace:
    return Workspace(folder=folder, quick=True, peers=folder)


def test_contenders_take_turns_and_the_warm_up_does_not_count(tmp_path: Path) -> None:
    ran: list[str] = []

    def runs(name: str) -> Contender:
        def run(out: Path) -> Figures:
            ran.append(name)
            return {"seconds": float(len(ran))}

        return contender(name, run)

    _, samples = measure(benchmark(runs("a"), runs("b"), runs("c")), workspace(tmp_path), lambda line: None)
    assert "".join(ran) == "abc" + "abc" + "bca" + "cab"
    assert samples["a"] == [{"seconds": 4.0}, {"seconds": 9.0}, {"seconds": 11.0}]


def test_a_fast_wrong_answer_fails(tmp_path: Path) -> None:
    def run(out: Path) -> Figures:
        (out / "answer").write_text("41")
        return {"seconds": 0.001}

    def check(out: Path) -> None:
        if (out / "answer").read_text() != "42":
            raise WrongAnswerError("not 42")

    with pytest.raises(WrongAnswerError, match="hasty: not 42"):
        measure(benchmark(contender("hasty", run, check)), workspace(tmp_path), lambda line: None)


def test_what_was_started_is_ended_whatever_comes(tmp_path: Path) -> None:
    ended: list[Workspace] = []

    def run(out: Path) -> Figures:
        raise CommandError("no")

    with pytest.raises(CommandError):
        measure(benchmark(contender("broken", run), end=ended.append), workspace(tmp_path), lambda line: None)
    assert ended == [workspace(tmp_path)]


def test_each_round_begins_with_an_empty_folder(tmp_path: Path) -> None:
    def run(out: Path) -> Figures:
        assert list(out.iterdir()) == []
        (out / "file").touch()
        return {"seconds": 1.0}

    measure(benchmark(contender("tidy", run)), workspace(tmp_path), lambda line: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("figure", "ours", "peers", "bar", "value", "reached"),
    [
        ("seconds", 6.0, [2.0, 4.0], {"at_most": 3.0}, 3.0, True),
        ("seconds", 6.1, [2.0, 4.0], {"at_most": 3.0}, 3.05, False),
        ("seconds", 2.0, [10.0, 30.0], {"at_least": 5.0}, 5.0, True),
        ("events_per_s", 90.0, [30.0, 45.0], {"at_least": 2.0}, 2.0, True),
        ("events_per_s", 80.0, [30.0, 45.0], {"at_least": 2.0}, 80 / 45, False),
        ("peak_bytes", 17.0, [], {"at_most": 16.0}, 17.0, False),
    ],
)
def test_a_goal_compares_with_the_best_peer(
    figure: str, ours: float, peers: list[float], bar: dict[str, float], value: float, reached: bool
) -> None:
    goal = Goal(name="g", figure=figure, of="ours", to=tuple(f"peer {n}" for n in range(len(peers))), **bar)  # type: ignore[arg-type]
    figures: Mapping[str, Figures] = {"ours": {figure: ours}} | {f"peer {n}": {figure: each} for n, each in enumerate(peers)}
    assert goal.value(figures) == pytest.approx(value)
    assert goal.reached(goal.value(figures)) is reached


def test_a_goal_of_what_each_further_one_adds() -> None:
    goal = Goal(name="g", figure="cpu_us_per_event", of="4 views", to=("1 view",), further=3, at_most=0.5)
    value = goal.value({"1 view": {"cpu_us_per_event": 20.0}, "4 views": {"cpu_us_per_event": 50.0}})
    assert value == 0.5
    assert goal.reached(value)
    assert not goal.reached(goal.value({"1 view": {"cpu_us_per_event": 20.0}, "4 views": {"cpu_us_per_event": 50.1}}))


HOLDS = "import os, sys, time; held = bytearray(int(sys.argv[1]) * 2**20)\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.02)"
FORKS = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDS!r}, *sys.argv[1:]], check=True)"


def test_the_memory_of_children_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look, seen = Family.look, tmp_path / "seen"

    def looked(family: Family) -> None:
        look(family)
        if family.peak_bytes > 200 * MIB:
            seen.touch()

    monkeypatch.setattr(Family, "look", looked)
    figures = measured([sys.executable, "-c", FORKS, "200", seen], tmp_path / "log")
    assert 200 * MIB < figures["peak_bytes"] < 300 * MIB
    assert figures["seconds"] >= figures["cpu_seconds"] / 2


@pytest.mark.parametrize(
    ("code", "bounds", "why"),
    [
        ("import sys; sys.exit(3)", {}, "exit code 3"),
        (HOLDS, {"most_seconds": 0.3}, "took longer"),
        (HOLDS, {"most_bytes": 100 * MIB}, "needed more than 0.1 GiB"),
    ],
)
def test_a_command_that_fails_or_needs_too_much_is_ended_and_named(tmp_path: Path, code: str, bounds: dict[str, int], why: str) -> None:
    before = psutil.Process().children()
    with pytest.raises(CommandError, match=why):
        measured([sys.executable, "-c", code, "200", tmp_path / "never"], tmp_path / "log", **bounds)  # type: ignore[arg-type]
    left = [child for child in psutil.Process().children() if child not in before]
    assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []


def test_results_of_another_benchmark_stay(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for name in ("one", "two"):
        contenders = [contender("ours", lambda out: {"seconds": 2.0}), contender("peer", lambda out: {"seconds": 8.0})]
        goals = (Goal(name=f"{name}_vs_peer", figure="seconds", of="ours", to=("peer",), at_least=5.0),)
        work = Benchmark(title=name, prepare=lambda workspace, made=contenders: made, goals=goals)  # type: ignore[misc]
        found = results.merged(path, name, results.of(work, *measure(work, workspace(tmp_path / name), lambda line: None), quick=False))
    assert json.loads(path.read_text()) == found
    assert found["ratios"] == {"one_vs_peer": 4.0, "two_vs_peer": 4.0}
    assert found["benchmarks"]["one"]["goals"]["one_vs_peer"]["reached"] is False
    assert "**not reached**" in table.markdown(found)


def test_a_goal_of_nobody_is_a_fault_unless_only_some_took_part(tmp_path: Path) -> None:
    goal = Goal(name="g", figure="seconds", of="ours", to=("peer", "pear"), at_most=1.0)
    work = replace(
        benchmark(contender("ours", lambda out: {"seconds": 2.0}), contender("peer", lambda out: {"seconds": 8.0})), goals=(goal,)
    )
    contenders, samples = measure(work, workspace(tmp_path), lambda line: None)
    assert results.of(work, contenders, samples, quick=True)["goals"] == {}
    with pytest.raises(ValueError, match="goal g: no contender pear; there are ours, peer"):
        results.of(work, contenders, samples, quick=False)


@pytest.mark.parametrize(
    ("figure", "value", "text"),
    [
        ("greatest_difference", 4.44e-16, "4.4e-16"),
        ("greatest_difference_at_thresholds", 0.0, "0"),
        ("seconds", 61.04, "61.0 s"),
        ("seconds", 0.9999, "1.0 s"),
        ("p99_seconds", 0.99, "990 ms"),
        ("p99_seconds", 0.0028349, "2.83 ms"),
        ("seconds", 0.00010251, "0.103 ms"),
        ("events_per_s", 123456.7, "123,457"),
        ("peak_bytes", 2**31, "2.00 GiB"),
        ("peak_bytes", 2**30 / 5, "0.20 GiB"),
        ("stage_bytes", 2**30 / 20, "51.2 MiB"),
        ("key_bytes", 5_222.0, "5.1 KiB"),
        ("key_bytes", 0.0, "0.0 KiB"),
        ("growth_ratio", 1.0449, "1.04 ×"),
    ],
)
def test_figures_are_shown_in_the_unit_that_is_read_best(figure: str, value: float, text: str) -> None:
    assert shown(figure, value) == text


def test_the_table_has_the_figures_that_a_benchmark_names(tmp_path: Path) -> None:
    work = benchmark(contender("ours", lambda out: {"seconds": 2.0, "rows_per_s": 8.0, "p99_seconds": 3.0}), shown=("p99_seconds",))
    found = results.of(work, *measure(work, workspace(tmp_path), lambda line: None), quick=False)
    assert found["contenders"]["ours"]["figures"].keys() == {"seconds", "rows_per_s", "p99_seconds"}
    assert "| | what it does | p99 seconds |\n" in table.markdown({"benchmarks": {"work": found}})


def test_a_table_without_goals_says_nothing_of_goals(tmp_path: Path) -> None:
    work = benchmark(contender("ours", lambda out: {"seconds": 2.0}))
    found = results.of(work, *measure(work, workspace(tmp_path), lambda line: None), quick=False)
    assert table.markdown({"benchmarks": {"work": found}}).endswith("| ours |  | 2.0 s |\n")


# --- the repository


def test_the_page_shows_the_kept_results() -> None:
    text = table.DOC.read_text()
    kept = json.loads(table.RESULTS.read_text())
    assert text == sizing.written(table.written(text, kept), kept), "run make bench, or put its results and its tables in one commit"
    assert "<!-- /benchmarks -->" in text
    assert "<!-- /sizing -->" in text


def test_the_kept_results_are_of_benchmarks_as_they_are() -> None:
    kept, known = json.loads(table.RESULTS.read_text())["benchmarks"], benchmarks()
    assert set(kept) <= set(known)
    for name in kept:
        each = known[name]
        assert kept[name]["title"] == each.title
        assert list(kept[name]["goals"]) == [goal.name for goal in each.goals]
        told = {
            who: {figure: values["median"] for figure, values in one["figures"].items()} for who, one in kept[name]["contenders"].items()
        }
        for goal in each.goals:
            value = goal.value(told)
            found = kept[name]["goals"][goal.name]
            assert (found["value"], found["of"], found["to"], found["reached"]) == (value, goal.of, list(goal.to), goal.reached(value))
        rounds = {len(told["samples"]) for told in kept[name]["contenders"].values()}
        assert rounds == {each.rounds}


def test_what_is_compared_is_measured_three_times() -> None:
    for each in benchmarks().values():
        if any(goal.to and goal.at_least is not None for goal in each.goals):
            assert each.rounds >= 3
            assert each.warm_up


def test_the_peers_are_locked_with_hashes() -> None:
    wanted = {peer for each in benchmarks().values() for peer in each.peers}
    assert {path.stem for path in environments.LOCKS.glob("*.txt")} == wanted
    for peer in wanted:
        lock = (environments.LOCKS / f"{peer}.txt").read_text()
        pins = re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==\S+.*\\$", lock, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==", lock, re.MULTILINE)) > 0
        assert "://" not in lock
