"""Results as one HTML page: for each work a plot of its main figure, its table and its goals; nothing is loaded from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import numpy as np

from benchmarks import table
from benchmarks.benchmark import Role
from benchmarks.results import Results
from benchmarks.units import shown
from jobs.report.chart import Axis, even_ticks
from jobs.report.page import render

_STYLES = {Role.OURS: "live", Role.LIMIT: "static", Role.PEER: "volume"}
_KEY = {Role.OURS: "Tidemark", Role.LIMIT: "a limit: less work, or as little as can be done", Role.PEER: "what one would use instead"}
_WIDTH, _LEFT, _RIGHT, _ROW, _THICK, _FOOT = 1060, 270, 190, 30, 16, 26


def html(results: Results) -> str:
    """The whole page."""
    benchmarks = results["benchmarks"]
    goals = [goal for each in benchmarks.values() for goal in each["goals"].values()]
    machines = sorted({_machine(each["machine"]) for each in benchmarks.values()})
    return render(
        title="How fast it is, beside what one would use instead",
        lead=f"{len(benchmarks)} works, each done side by side in one run, every output checked. "
        f"{sum(goal['reached'] for goal in goals)} of {len(goals)} goals are reached.",
        body="\n".join(_section(name, each) for name, each in benchmarks.items()),
        footer="<br>".join(map(escape, machines)),
    )


def main_figure(benchmark: Mapping[str, Any]) -> str:
    """What is plotted: the figure of the first goal, else the first that is shown."""
    of_goals = [goal["figure"] for goal in benchmark["goals"].values()]
    return str([*of_goals, *table.figures(benchmark)][0])


def _section(name: str, benchmark: Mapping[str, Any]) -> str:
    figure, told = main_figure(benchmark), benchmark["contenders"]
    better = "more is better" if figure.endswith("_per_s") else "less is better"
    note = f"{table.rounds(benchmark['rounds'])} on {benchmark['machine']['cores']} cores, {benchmark['made_at'][:10]}. "
    roles = dict.fromkeys(Role(each["role"]) for each in told.values())
    key = "".join(f'<span class="{_STYLES[role]}">{_KEY[role]}</span>' for role in roles)
    return (
        f'<section id="{escape(name)}"><h2>{escape(benchmark["title"])}</h2>'
        f'<p class="note">{note}Plotted: {escape(table.named(figure))}, {better}; the lines go from the lowest round to the highest.</p>'
        f'<div class="key">{key}</div><div class="chart">{_plot(figure, told)}</div>'
        f'<div class="scroll">{_contenders(benchmark)}</div>{_goals(benchmark)}</section>'
    )


def _plot(figure: str, told: Mapping[str, Any]) -> str:
    measured = [each["figures"][figure] for each in told.values() if figure in each["figures"]]
    highest = max(values["highest"] for values in measured) or 1.0
    axis = Axis(low=0.0, high=highest, ticks=_ticks(figure, highest))
    floor = _ROW * len(told) + 4
    parts = [f'<svg viewBox="0 0 {_WIDTH} {floor + _FOOT}" role="img" aria-label="{escape(table.named(figure))}">']
    for tick, px in zip(axis.ticks, _px(axis, *axis.ticks), strict=True):
        parts.append(f'<line class="grid" x1="{px:.1f}" x2="{px:.1f}" y1="0" y2="{floor}"/>')
        parts.append(f'<text class="tick" x="{px:.1f}" y="{floor + 18}" text-anchor="middle">{escape(shown(figure, tick))}</text>')
    for row, (name, each) in enumerate(told.items()):
        parts += _bar(row * _ROW, name, each, figure, axis)
    return "".join([*parts, f'<line class="axis" x1="{_LEFT}" x2="{_LEFT}" y1="0" y2="{floor}"/></svg>'])


def _ticks(figure: str, highest: float) -> list[float]:
    """Round in the unit in which they are shown."""
    unit = (2.0**30 if highest >= 2**30 / 10 else 2.0**20) if figure.endswith("_bytes") else 1.0
    return [tick * unit for tick in even_ticks(0.0, highest / unit, 5)]


def _bar(top: int, name: str, each: Mapping[str, Any], figure: str, axis: Axis) -> Iterator[str]:
    middle = top + _ROW / 2
    yield f'<text class="label" x="{_LEFT - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>'
    if (values := each["figures"].get(figure)) is None:
        yield f'<text class="tick" x="{_LEFT + 8}" y="{middle + 4:.1f}">not measured</text>'
        return
    median, low, high = _px(axis, values["median"], values["lowest"], values["highest"])
    style = _STYLES[Role(each["role"])]
    yield f'<rect class="bar {style}" x="{_LEFT}" y="{middle - _THICK / 2:.1f}" width="{median - _LEFT:.1f}" height="{_THICK}" rx="2"/>'
    if high > low:
        ink = 'class="spread" style="stroke: var(--ink)"'
        yield f'<line {ink} x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
        for end in (low, high):
            yield f'<line {ink} x1="{end:.1f}" x2="{end:.1f}" y1="{middle - 4:.1f}" y2="{middle + 4:.1f}"/>'
    yield f'<text class="upright" x="{high + 8:.1f}" y="{middle + 4:.1f}">{escape(shown(figure, values["median"]))}</text>'


def _px(axis: Axis, *values: float) -> list[float]:
    placed: list[float] = axis.place(np.array(values), _LEFT, _WIDTH - _RIGHT).tolist()
    return placed


def _contenders(benchmark: Mapping[str, Any]) -> str:
    figures = table.figures(benchmark)
    head = "".join(f"<th class=n>{escape(table.named(figure))}</th>" for figure in figures)
    rows = []
    for name, told in benchmark["contenders"].items():
        cells = "".join(
            f"<td class=n>{escape(table.spread(figure, told['figures'][figure]))}</td>" if figure in told["figures"] else "<td></td>"
            for figure in figures
        )
        rows.append(f"<tr><td>{escape(name)}</td><td>{_marked(told['what'])}</td>{cells}</tr>")
    return f"<table><tr><th></th><th>what it does</th>{head}</tr>{''.join(rows)}</table>"


def _goals(benchmark: Mapping[str, Any]) -> str:
    if not benchmark["goals"]:
        return ""
    rows = []
    for name, goal in benchmark["goals"].items():
        style, word = ("ok", "reached") if goal["reached"] else ("wrong", "not reached")
        rows.append(
            f"<tr><td><code>{escape(name)}</code></td><td class=n>{escape(table.bar(goal))}</td>"
            f"<td class=n>{escape(table.value(goal, goal['value']))}</td><td class={style}>{word}</td></tr>"
        )
    return f"<table><tr><th>goal</th><th class=n>bar</th><th class=n>measured</th><th></th></tr>{''.join(rows)}</table>"


def _marked(text: str) -> str:
    """HTML of the little Markdown that there is."""
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", re.sub(r"`(.+?)`", r"<code>\1</code>", escape(text)))


def _machine(machine: Mapping[str, Any]) -> str:
    return (
        f"{machine['cores']} of {machine['cores_of_machine']} cores, {shown('memory_bytes', machine['memory_bytes'])}, "
        f"{machine['system']}, Python {machine['python']}"
    )
