"""Where partitions begin and end for every reader of ours, who sees what is committed and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not marked as exports

Place = tuple[str, int]
"""A topic, and a partition of it."""


@dataclass(frozen=True, kw_only=True)
class End:
    """Where a partition ends.

    Attributes:
        decided: The offset up to which all transactions are committed or aborted (Kafka's last stable offset): readers get no further.
        head: The offset that its next record will have; the same, unless a transaction is open.
    """

    decided: int
    head: int

    @property
    def undecided(self) -> int:
        """How many offsets lie behind an open transaction, its own and others'."""
        return self.head - self.decided


def firsts(admin: AdminClient, places: Iterable[Place], *, timeout_s: float) -> dict[Place, int]:
    """The offset of the oldest record of each partition that is kept. Raises KafkaException."""
    asked = {TopicPartition(*place): OffsetSpec.earliest() for place in places}  # type: ignore[no-untyped-call]
    answers = admin.list_offsets(asked, request_timeout=timeout_s) if asked else {}
    return {(place.topic, place.partition): int(answer.result().offset) for place, answer in answers.items()}


def ends(admin: AdminClient, places: Iterable[Place], *, timeout_s: float) -> dict[Place, End]:
    """Where each partition ends now. Raises KafkaException."""
    asked = {TopicPartition(*place): OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
    if not asked:
        return {}
    decided, heads = (
        admin.list_offsets(asked, isolation_level=level, request_timeout=timeout_s)
        for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
    )
    found = {}
    for place in asked:
        stable, head = int(decided[place].result().offset), int(heads[place].result().offset)
        # Two questions are two moments: what was decided between them is not undecided.
        found[place.topic, place.partition] = End(decided=stable, head=max(stable, head))
    return found
