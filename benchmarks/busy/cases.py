"""What is read of busy keys: how many rows at once, of cards with how many tiles in the window. Feast's own environment imports it too."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

VIEW, WINDOW = "thousand_tiles", 1_000
"""Of the definitions, and its window in minutes, which are tiles."""
TILES = (1, 10, 100, 1_000)
CARDS = 100
"""Of each number of tiles."""
CALLS = 50
"""Different calls of each case, made in turns."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Calls of one size, of cards that are alike."""

    rows: int
    tiles: int

    @property
    def name(self) -> str:
        """As its figures begin."""
        return f"read_{self.rows}_rows_of_{self.tiles}_{'tile' if self.tiles == 1 else 'tiles'}"

    def figures(self, found: Mapping[str, float]) -> dict[str, float]:
        """What was found, under its name."""
        return {f"{self.name}_{figure}": value for figure, value in found.items()}

    def chosen(self, call: int) -> list[int]:
        """The cards that a call asks for, all different: indices into all cards, which come by their number of tiles."""
        first = TILES.index(self.tiles) * CARDS
        return [first + number for number in random.Random(f"{call} {self.name}").sample(range(CARDS), self.rows)]


CASES = [Case(rows=rows, tiles=tiles) for rows in (20, 100) for tiles in TILES]
