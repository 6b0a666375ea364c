"""The boosters of a model's shards, in memory only as long as they are needed and there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.boosters.booster import parse, read, try_in_a_child
from inference.boosters.ensemble import Ensemble, ensemble
from inference.boosters.scores import Shape
from schemas.errors import DataError, SettingError

SHARD_MEMORY_BYTES = 1 << 28
"""For the shards of a model in memory, where nothing else is said."""
_BOOSTER_BYTES = 96 << 10
"""Of a booster beside its trees."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A shard's file.

    Attributes:
        path: Where it is.
        sha256: Of its bytes.
        size_bytes: How many these are.
    """

    path: Path
    sha256: str
    size_bytes: int

    @property
    def memory_bytes(self) -> int:
        """What the shard counts in memory. LightGBM does not tell, and holds 0.5 to 0.9 of this for trees of 255 to 8 leaves; machine code needs less (tests/inference/shards)."""
        return self.size_bytes + _BOOSTER_BYTES


class Boosters:
    """Loads a shard when it is first asked for; the least recently used leave where the budget would be exceeded.

    Not to be shared by threads, nor taken over a fork.
    """

    def __init__(self, members: Mapping[int, Member], *, shape: Shape, budget_bytes: int) -> None:
        """Load nothing yet.

        Args:
            members: Shard → its file.
            shape: That each must have.
            budget_bytes: For all that are in memory at a time.

        Raises:
            SettingError: One alone is larger than that.
        """
        self.members = dict(members)
        self._shape = shape
        self._budget_bytes = budget_bytes
        self._held: OrderedDict[int, Ensemble] = OrderedDict()  # the least recently used first
        self._tried: set[int] = set()  # loaded in a child once, which the same bytes need no more
        self.loads = 0
        largest = max(members, key=lambda shard: members[shard].memory_bytes, default=None)
        if largest is not None and members[largest].memory_bytes > budget_bytes:
            size = members[largest].memory_bytes
            raise SettingError(
                f"TIDEMARK_SHARD_MEMORY: {budget_bytes:,} bytes, but shard {largest} alone takes {size:,}; raise it, or split that shard"
            )

    @property
    def held(self) -> list[int]:
        """The shards that are in memory, the least recently used first."""
        return list(self._held)

    @property
    def held_bytes(self) -> int:
        """What is in memory now."""
        return sum(self.members[shard].memory_bytes for shard in self._held)

    def of(self, shard: int) -> Ensemble:
        """The shard's trees, loaded if it is not there.

        Raises:
            SettingError: Its file cannot be read.
            DataError: It is damaged.
        """
        if shard in self._held:
            self._held.move_to_end(shard)
            return self._held[shard]
        member = self.members[shard]
        content = read(member.path, member.sha256)
        if len(content) != member.size_bytes:
            raise DataError(
                f"{member.path}: has {len(content):,} bytes, the manifest says {member.size_bytes:,}; restore it, or train again"
            )
        if shard not in self._tried:
            try_in_a_child(content, self._shape, member.path)
            self._tried.add(shard)
        while self._held and self.held_bytes + member.memory_bytes > self._budget_bytes:
            self._held.popitem(last=False)
        self._held[shard] = ensemble(parse(content, member.path), member.path)
        self.loads += 1
        return self._held[shard]

    def load_each(self) -> None:
        """Load every shard once, to see that it can be.

        Raises:
            SettingError, DataError: As `of`.
        """
        for shard in self.members:
            self.of(shard)

    def groups(self, shard: NDArray[np.int64]) -> Iterator[tuple[int, Any]]:
        """Each shard of a batch and its rows, those in memory first: a batch of more shards than there is room for loads each of the others once."""
        if not len(shard):
            return
        order = np.argsort(shard, kind="stable")
        numbers, begin = np.unique(shard[order], return_index=True)
        if len(numbers) == 1:
            yield int(numbers[0]), slice(None)
            return
        rows = dict(zip(numbers.tolist(), np.split(order, begin[1:]), strict=True))
        for number in sorted(rows, key=lambda number: number in self.members and number not in self._held):
            yield number, rows[number]
