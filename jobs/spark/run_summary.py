"""How far a backfill came: what it read, which days it wrote, and how that is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jobs.spark.daily_output import spans
from jobs.spark.kafka_source import TopicHistory
from jobs.spark.relation import RowCounts
from schemas.wording import quantity


@dataclass(kw_only=True)
class RunSummary:
    """What a backfill read, and which days it wrote.

    Attributes:
        topics: What was read of Kafka, if anything was.
        tallies: Rows read and refused, by relation, the requests first.
        asked: Day since the epoch → its requests.
        done: Day → rows, of those that are there.
        failed: Day → why it is not.
        resumed: How many were there before.
        seconds: How long it took.
    """

    topics: TopicHistory | None = None
    tallies: list[RowCounts] = field(default_factory=list)
    asked: Mapping[int, int] = field(default_factory=dict)
    done: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    resumed: int = 0
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Of the days that are there."""
        return sum(self.done.values())

    @property
    def whole(self) -> bool:
        """Whether all that was asked for is there."""
        return all(day in self.done for day in self.asked)

    def manifest(self) -> dict[str, Any]:
        """What the finished folder says of the run."""
        read = [
            {"name": t.name, "rows": t.rows, "refused": t.refused, "reasons": {k: v for k, v in t.reasons.items() if v}}
            for t in self.tallies
        ]
        topics = {} if self.topics is None else {"topics": [asdict(tally) for tally in self.topics.tallies]}
        return {"rows": self.rows, "read": read, **topics}

    def lines(self, out: Path, what: str) -> list[str]:
        """For the user."""
        none = ["no requests of these times"] if self.tallies and not self.tallies[0].rows else []
        before = f", {quantity(self.resumed, 'day')} of them from before" if self.resumed else ""
        return [
            *(self.topics.lines() if self.topics is not None else ()),
            *map(str, self.tallies),
            *none,
            *spans(sorted(self.asked), self.done, self.failed),
            f"{quantity(self.rows, 'row')} of {what} in {self.seconds:.1f} s{before}: {out}",
        ]
