"""How far the values of one lane lie from the oracle's, and the table of it that `docs/concepts.md` shows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.readings.questions import ACCURACY
from tests.oracle import Question, exact_sum

LANES = ("Flink tiles", "Spark tiles", "online read", "Spark backfill")
SUMMATION = 1e-12
DISTINCT = 5 * 1.04 / math.sqrt(1 << 12)  # five standard errors of a HyperLogLog of 4,096 registers


@dataclass(kw_only=True)
class Agreement:
    """One aggregation: how many values of each lane were compared, and how far the worst lies from the oracle's.

    Attributes:
        bound: How far it may lie: 0 for equal in every bit.
        values: Per lane.
        worst: Lane → the largest relative difference seen; of sums and means relative to the size of what is added.
    """

    bound: float
    values: int = 0
    worst: dict[str, float] = field(default_factory=lambda: dict.fromkeys(LANES, 0.0))

    def take(self, lane: str, apart: float) -> None:
        """Account for one value of a lane."""
        self.worst[lane] = max(self.worst[lane], apart)


def row_of(question: Question) -> tuple[str, float]:
    """The row that a feature belongs to, and its bound."""
    name, bound = _row_of(question)
    return name if question.hop_ms is None else f"{name}, hops", bound


def _row_of(question: Question) -> tuple[str, float]:
    if question.name.endswith("_ever"):
        return "`Lifetime`", 0.0
    match question.aggregation:
        case "Sum":
            return ("`Sum` of integers", 0.0) if question.name.startswith("steps") else ("`Sum` of doubles", SUMMATION)
        case "Mean" | "Variance" | "StdDev":
            return f"`{question.aggregation}`", SUMMATION
        case "CountDistinct":
            return "`CountDistinct`", DISTINCT
        case "Quantile":
            accuracy = ACCURACY[question.name]
            return f"`Quantile(accuracy={accuracy:g})`", accuracy
        case _:
            return f"`{question.aggregation}`", 0.0


def apart(question: Question, got: Any, expected: Any, counted: Sequence[Mapping[str, Any]]) -> float:
    """The relative difference of two values; 0 for the same, infinite for different ones that have no distance.

    Args:
        question: What was asked.
        got: What a lane says.
        expected: What the oracle says.
        counted: The events that the answer is made of, and no others: of sums and means the difference is relative to the size of what is added.
    """
    if (got is None) != (expected is None) or isinstance(got, bool) != isinstance(expected, bool):
        return math.inf
    if got == expected:
        return 0.0
    if not isinstance(got, int | float) or row_of(question)[1] == 0.0:
        return math.inf
    size = abs(expected)
    if question.aggregation in ("Sum", "Mean") and question.value is not None:
        seen = [abs(question.value(event)) for event in counted]
        size = float(exact_sum(seen)) / (len(seen) if question.aggregation == "Mean" else 1)
    return abs(got - expected) / size if size else math.inf


def table(rows: Mapping[str, Agreement], *, requests: int) -> str:
    """Markdown: a row per aggregation, a column per lane."""
    lines = [
        f"| aggregation | {' | '.join(LANES)} | values per column |",
        f"|---|{'---|' * len(LANES)}--:|",
        *(f"| {name} | {' | '.join(_cell(row, lane) for lane in LANES)} | {row.values:,} |" for name, row in sorted(rows.items())),
    ]
    return "\n".join([f"{requests:,} questions about a random stream, every value compared with nested loops over its events:", "", *lines])


def _cell(row: Agreement, lane: str) -> str:
    if row.bound == 0.0:
        return "equal" if row.worst[lane] == 0.0 else "**differs**"
    seen = f"≤ {row.bound:.2g}, seen {row.worst[lane]:.1e}"
    return seen if row.worst[lane] <= row.bound else f"**{seen}**"


def without_figures_seen(text: str) -> str:
    """The table without what another order of summation changes from run to run."""
    return re.sub(r"seen [-+.e0-9]+", "seen", text)
