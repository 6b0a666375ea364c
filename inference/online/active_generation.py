"""What is served: which generation of the store. One record, kept beside the tiles, which every reader follows batch by batch.

A generation is a Feast project: all tiles and frontiers, written by a job of its own from the tiles topics. One is served; another may be filled meanwhile.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from inference.online.store import OnlineStore
from schemas.errors import DataError

RECORD_NAME = "tidemark:serving"
"""What the record is called, in stores and in messages."""

_PROJECT = "tidemark"


@dataclass(frozen=True, kw_only=True)
class ActiveGeneration:
    """The record; the one that is in force where there is none is `ActiveGeneration()`.

    Attributes:
        number: Counts the changes; of two records the higher number is in force.
        generation: That is served, from 1.
    """

    number: int = 0
    generation: int = 1

    @classmethod
    def of(cls, record: bytes | None) -> ActiveGeneration:
        """Read a record. Raises DataError when it is damaged."""
        try:
            return cls() if record is None else cls(**{name: int(value) for name, value in json.loads(record).items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"online store: {RECORD_NAME} is damaged: {record!r}; `tidemark switch` writes it anew") from error

    def record(self) -> bytes:
        """The record's bytes."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    def next(self, generation: int) -> ActiveGeneration:
        """The record after this one."""
        return ActiveGeneration(number=self.number + 1, generation=generation)

    @property
    def project(self) -> str:
        """Feast's project of the generation that is served."""
        return project_of(self.generation)


def project_of(generation: int) -> str:
    """Feast's project of a generation."""
    return _PROJECT if generation == 1 else f"{_PROJECT}_g{generation}"


def read_active(store: OnlineStore) -> ActiveGeneration:
    """What the store says.

    Raises:
        DataError: Its record is damaged.
        ServiceError: It does not answer.
    """
    return ActiveGeneration.of(store.active())


def serve(store: OnlineStore, serving: ActiveGeneration) -> bool:
    """Put a record in force, unless one of the same or a higher number is; returns whether it is in force now.

    Raises:
        ServiceError: The store does not answer.
    """
    return store.serve(serving.record(), serving.number)
