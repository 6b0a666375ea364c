"""Results as the tables between the README's markers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.benchmarks.results import Results
from tests.benchmarks.units import shown

README = Path(__file__).parents[2] / "README.md"
RESULTS = Path(__file__).with_name("results.json")
"""What the README's table shows; `make bench` writes both."""

_TABLE = re.compile(r"(<!-- benchmarks: [^\n]*-->\n).*?(<!-- /benchmarks -->)", re.DOTALL)


def written(text: str, results: Results) -> str:
    """A README with the tables of these results."""
    return _TABLE.sub(lambda found: found[1] + markdown(results) + found[2], text)


def markdown(results: Results) -> str:
    """The tables."""
    sections = [_section(benchmark) for benchmark in results["benchmarks"].values()]
    return "\n".join(sections) or "No results are kept with this version; `make bench` writes them here.\n"


def _section(benchmark: dict[str, Any]) -> str:
    every = dict.fromkeys(name for told in benchmark["contenders"].values() for name in told["figures"])
    figures = benchmark.get("shown") or list(every)
    machine = benchmark["machine"]
    lines = [
        f"**{benchmark['title']}** ({_rounds(benchmark['rounds'])} on {machine['cores']} cores, {benchmark['made_at'][:10]})",
        "",
        f"| | what it does | {' | '.join(map(_named, figures))} |",
        f"|---|---|{'---:|' * len(figures)}",
    ]
    for name, told in benchmark["contenders"].items():
        cells = [_spread(figure, told["figures"][figure]) if figure in told["figures"] else "" for figure in figures]
        lines.append(f"| {name} | {told['what']} | {' | '.join(cells)} |")
    if not benchmark["goals"]:
        return "\n".join(lines) + "\n"
    lines += ["", "| goal | bar | measured | |", "|---|---:|---:|---|"]
    for name, goal in benchmark["goals"].items():
        bar = f"≤ {_goal(goal, goal['at_most'])}" if "at_most" in goal else f"≥ {_goal(goal, goal['at_least'])}"
        lines.append(f"| `{name}` | {bar} | {_goal(goal, goal['value'])} | {'reached' if goal['reached'] else '**not reached**'} |")
    return "\n".join(lines) + "\n"


def _rounds(number: int) -> str:
    return "one run" if number == 1 else f"median of {number} rounds, lowest to highest"


def _named(figure: str) -> str:
    if figure.endswith("_bytes"):
        return f"{figure.removesuffix('_bytes')} memory".replace("_", " ")
    return figure.replace("_per_s", "/s").replace("_", " ")


def _spread(figure: str, values: dict[str, float]) -> str:
    middle = shown(figure, values["median"])
    low, high = (shown(figure, values[name]) for name in ("lowest", "highest"))
    return middle if low == middle == high else f"{middle} ({low}–{high})"


def _goal(goal: dict[str, Any], value: float) -> str:
    return f"{value:.2f} ×" if goal["to"] else shown(goal["figure"], value)
