"""What is read online: how many requests at once, of how many views, and of which keys."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CALLS = 50
"""Different calls of each case, made in turns."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Calls of one size."""

    rows: int
    views: int

    @property
    def name(self) -> str:
        """As its figures begin."""
        return f"read_{self.rows}_{'row' if self.rows == 1 else 'rows'}_{self.views}_{'view' if self.views == 1 else 'views'}"

    def figures(self, found: Mapping[str, float]) -> dict[str, float]:
        """What was found, under its name."""
        return {f"{self.name}_{figure}": value for figure, value in found.items()}


CASES = [Case(rows=rows, views=views) for views in (1, 3) for rows in (1, 10, 100, 1_000)]


def named(names: Sequence[str]) -> list[Case]:
    """Those that a command names."""
    return [case for case in CASES if case.name in names]


def keys_of(call: int, key: str, rows: int, keys: int) -> list[str]:
    """The keys that a call asks for, all different."""
    chosen = random.Random(f"{call} {key}").sample(range(keys), rows)
    return [f"{key}-{number:05d}" for number in chosen]
