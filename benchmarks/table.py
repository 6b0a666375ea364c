"""Results as the tables between the markers of `docs/benchmarks.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.results import Results
from benchmarks.units import shown

DOC = Path(__file__).parents[1] / "docs" / "benchmarks.md"
RESULTS = Path(__file__).with_name("results.json")
"""What the page's tables show; `make bench` writes both."""

_TABLE = re.compile(r"(<!-- benchmarks: [^\n]*-->\n).*?(<!-- /benchmarks -->)", re.DOTALL)


def written(text: str, results: Results) -> str:
    """A page with the tables of these results."""
    return _TABLE.sub(lambda found: found[1] + markdown(results) + found[2], text)


def markdown(results: Results) -> str:
    """The tables."""
    sections = [_section(benchmark) for benchmark in results["benchmarks"].values()]
    return "\n".join(sections) or "No results are kept with this version; `make bench` writes them here.\n"


def figures(benchmark: Mapping[str, Any]) -> list[str]:
    """Those that a benchmark shows."""
    every = dict.fromkeys(name for told in benchmark["contenders"].values() for name in told["figures"])
    return list(benchmark.get("shown") or every)


def rounds(number: int) -> str:
    """What was done so often, and what is shown of it."""
    return "one run" if number == 1 else f"median of {number} rounds, lowest to highest"


def named(figure: str) -> str:
    """A figure as a reader calls it."""
    if figure.endswith("_bytes"):
        return f"{figure.removesuffix('_bytes')} memory".replace("_", " ")
    return figure.replace("_per_s", "/s").replace("_", " ")


def spread(figure: str, values: Mapping[str, float]) -> str:
    """The median, and how far rounds differ."""
    middle = shown(figure, values["median"])
    low, high = (shown(figure, values[name]) for name in ("lowest", "highest"))
    return middle if low == middle == high else f"{middle} ({low}–{high})"


def bar(goal: Mapping[str, Any]) -> str:
    """What a goal asks for."""
    return f"≤ {value(goal, goal['at_most'])}" if "at_most" in goal else f"≥ {value(goal, goal['at_least'])}"


def value(goal: Mapping[str, Any], number: float) -> str:
    """A ratio, or a figure."""
    return f"{number:.2f} ×" if goal["to"] else shown(goal["figure"], number)


def _section(benchmark: Mapping[str, Any]) -> str:
    columns, machine = figures(benchmark), benchmark["machine"]
    lines = [
        f"**{benchmark['title']}** ({rounds(benchmark['rounds'])} on {machine['cores']} cores, {benchmark['made_at'][:10]})",
        "",
        f"| | what it does | {' | '.join(map(named, columns))} |",
        f"|---|---|{'---:|' * len(columns)}",
    ]
    for name, told in benchmark["contenders"].items():
        cells = [spread(figure, told["figures"][figure]) if figure in told["figures"] else "" for figure in columns]
        lines.append(f"| {name} | {told['what']} | {' | '.join(cells)} |")
    if not benchmark["goals"]:
        return "\n".join(lines) + "\n"
    lines += ["", "| goal | bar | measured | |", "|---|---:|---:|---|"]
    for name, goal in benchmark["goals"].items():
        reached = "reached" if goal["reached"] else "**not reached**"
        lines.append(f"| `{name}` | {bar(goal)} | {value(goal, goal['value'])} | {reached} |")
    return "\n".join(lines) + "\n"
