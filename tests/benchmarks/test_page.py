"""The page of results: every work, a bar for each contender as long as its median, and nothing from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import page, results, table
from benchmarks.benchmark import Benchmark, Contender, Figures, Goal, Role
from benchmarks.rounds import Samples


def contender(name: str, role: Role = Role.PEER, what: str = "") -> Contender:
    return Contender(name=name, role=role, what=what, run=lambda out: {}, check=lambda out: None)


def result(samples: Samples, *goals: Goal, what: str = "", title: str = "a work") -> results.Results:
    contenders = [contender(name, Role.PEER if number else Role.OURS, what) for number, name in enumerate(samples)]
    work = Benchmark(title=title, prepare=lambda workspace: contenders, goals=goals, rounds=len(next(iter(samples.values()))))
    return results.of(work, contenders, samples, quick=False)


def seconds(*values: float) -> list[Figures]:
    return [{"seconds": value} for value in values]


def of(told: results.Results) -> str:
    return page.html({"benchmarks": {"work": told}})


def bars(text: str) -> list[float]:
    return [float(width) for width in re.findall(r'<rect class="bar [^"]*" x="[^"]*" y="[^"]*" width="([^"]*)"', text)]


def test_a_bar_is_as_long_as_its_median_and_its_line_reaches_from_lowest_to_highest() -> None:
    text = of(result({"ours": seconds(3.0, 1.0, 2.0), "theirs": seconds(8.0, 8.0, 8.0)}))
    ours, theirs = bars(text)
    assert theirs == pytest.approx(4 * ours, rel=1e-3)
    (line,) = re.findall(r'<line class="spread"[^>]* x1="([^"]*)" x2="([^"]*)" y1="([^"]*)" y2="\3"', text)
    first, last = map(float, line[:2])
    begin = float(re.findall(r'<rect class="bar [^"]*" x="([^"]*)"', text)[0])
    assert first - begin == pytest.approx(theirs / 8, rel=1e-3)
    assert last - begin == pytest.approx(theirs * 3 / 8, rel=1e-3)


def test_who_was_not_measured_has_no_bar() -> None:
    samples: Samples = {"ours": [{"seconds": 1.0, "p99_seconds": 2.0}], "theirs": [{"seconds": 4.0}]}
    text = of(result(samples, Goal(name="g", figure="p99_seconds", of="ours", at_most=3.0)))
    assert len(bars(text)) == 1
    assert text.count("not measured") == 1
    assert "Plotted: p99 seconds, less is better" in text


def test_goals_say_whether_they_are_reached() -> None:
    samples = {"ours": seconds(2.0), "theirs": seconds(8.0)}
    goals = [Goal(name=f"at_least_{bar}", figure="seconds", of="ours", to=("theirs",), at_least=bar) for bar in (3.0, 5.0)]
    text = of(result(samples, *goals))
    assert "≥ 3.00 ×</td><td class=n>4.00 ×</td><td class=ok>reached" in text
    assert "≥ 5.00 ×</td><td class=n>4.00 ×</td><td class=wrong>not reached" in text
    assert "1 of 2 goals" in text
    assert "<th>goal</th>" not in of(result(samples))


def test_text_is_text() -> None:
    text = of(result({"a<b>": seconds(1.0)}, what="`x < y`, **not** <i>", title="<script>"))
    assert "<td>a&lt;b&gt;</td><td><code>x &lt; y</code>, <b>not</b> &lt;i&gt;</td>" in text
    assert "<h2>&lt;script&gt;</h2>" in text


def test_the_kept_results_are_all_there_and_nothing_is_loaded() -> None:
    kept: dict[str, Any] = json.loads(table.RESULTS.read_text())
    text = page.html(kept)
    assert re.findall(r'<section id="([^"]*)">', text) == list(kept["benchmarks"])
    assert text.count('<div class="chart"><svg') == len(kept["benchmarks"])
    for each in kept["benchmarks"].values():
        for name in each["contenders"]:
            assert text.count(f">{name}<") >= 2
    assert not re.search(r"""\b(src|href)=|url\(|@import|://""", text)


def test_a_full_run_writes_the_page_of_all_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doc, index = tmp_path / "benchmarks.md", tmp_path / "index.html"
    doc.write_text("<!-- benchmarks: here -->\n<!-- /benchmarks -->\n")
    monkeypatch.setattr(table, "DOC", doc)
    monkeypatch.setattr(table, "RESULTS", tmp_path / "results.json")
    for name in ("one", "two"):
        command._publish(name, result({"ours": seconds(1.0)}, title=f"work {name}"), index)
    assert re.findall(r'<section id="([^"]*)">', index.read_text()) == ["one", "two"]
    assert "work one" in doc.read_text()
