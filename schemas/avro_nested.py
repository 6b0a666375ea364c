"""Records within records: the fields of a nullable one are read for those messages that have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from schemas.avro_cursor import DTYPES, Column, Cursor, Rows
from schemas.avro_steps import Step

if TYPE_CHECKING:
    from schemas.field import Field


@dataclass(frozen=True, kw_only=True)
class Nested:
    """A branch number, then the fields of that branch's record, or nothing.

    Attributes:
        place: The path to it, for messages.
        fields: All of ours that are read within it.
        branches: Of each the steps of its record; None where the fields are null; a text: why such a message is refused.
    """

    place: str
    fields: tuple[Field, ...]
    branches: tuple[Steps | str | None, ...]

    def read(self, cursor: Cursor, rows: Rows) -> dict[str, Column]:
        """Read it at the position of each of the rows: field name → column, in their order."""
        branch = cursor.whole(rows)
        columns = {
            field.name: Column(values=np.zeros(len(rows), dtype=DTYPES[field.type]), nulls=np.ones(len(rows), dtype=bool))
            for field in self.fields
        }
        for number, steps in enumerate(self.branches):
            chosen = np.flatnonzero(branch == number)
            if steps is None or not chosen.size:
                continue
            if isinstance(steps, str):
                cursor.refuse(rows[chosen], steps)
                continue
            for name, part in read_steps(steps, cursor, rows[chosen]).items():
                columns[name].values[chosen] = part.values
                columns[name].nulls[chosen] = part.nulls
        wrong = (branch < 0) | (branch >= len(self.branches))
        cursor.refuse(rows[wrong], f'wrong-type: "{self.place}": branch {{}} of a union with {len(self.branches)}', branch[wrong])
        return columns


Steps = tuple[tuple[str | None, Step | Nested], ...]
"""The fields of a record in order: as which of ours each is read (None: dropped, or several within it), and how."""


def read_steps(steps: Steps, cursor: Cursor, rows: Rows) -> dict[str, Column]:
    """Read the fields of one record after the other, each for all rows at once."""
    columns: dict[str, Column] = {}
    for name, step in steps:
        if isinstance(step, Nested):
            columns |= step.read(cursor, rows)
            continue
        column = step.read(cursor, rows)
        if name is not None:
            columns[name] = column
    return columns
