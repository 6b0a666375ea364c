"""How decimals and UUIDs of a writer are read: as the digits that they are, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np

from schemas.avro_cursor import DTYPES, Column, Cursor, Rows
from schemas.avro_steps import Step
from schemas.logical import uuid_text
from schemas.types import DataType

_SURELY_EXACT = 10**15
"""Below it, a double keeps all digits of a decimal."""


@dataclass(frozen=True, kw_only=True)
class Decimals(Step):
    """A decimal, as the text of its digits (as many behind the point as its scale) or as the double that has the same digits.

    A record whose digits a double would lose is refused.
    """

    field: str
    type: DataType
    precision: int
    scale: int
    size: int | None  # of a fixed

    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """See `Step.read`."""
        if self.size is None:
            starts, stops = cursor.span(rows)
        else:
            starts = cursor.at[rows]
            over = cursor.advance(rows, starts + self.size)
            stops = starts + (self.size if over is None else np.where(over, 0, self.size))
        values = np.zeros(len(rows), dtype=DTYPES[self.type])
        for index, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
            unscaled = int.from_bytes(cursor.data[start:stop], "big", signed=True)
            try:
                values[index] = self._value(unscaled)
            except ValueError as error:
                cursor.refuse(rows[index : index + 1], f'out-of-range: field "{self.field}": {error}')
                values[index] = self._value(0)
        return Column(values=values, nulls=np.zeros(len(rows), dtype=bool))

    def _value(self, unscaled: int) -> str | float:
        if abs(unscaled) >= self._bound:
            raise ValueError(f"a decimal of more than {self.precision} digits, its precision")
        if self.type is DataType.FLOAT64:
            return self._double(unscaled)
        digits = str(abs(unscaled)).rjust(self.scale + 1, "0")
        text = f"{digits[: -self.scale]}.{digits[-self.scale :]}" if self.scale else digits
        return f"-{text}" if unscaled < 0 else text

    def _double(self, unscaled: int) -> float:
        try:
            value = unscaled / self._divisor  # of whole numbers, and so rounded once
        except OverflowError:
            value = float("inf")
        if abs(unscaled) >= _SURELY_EXACT and (
            value == float("inf") or Decimal(repr(value)) != Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -self.scale))
        ):
            raise ValueError(f"the decimal {unscaled}e-{self.scale} has more digits than a double; declare a string")
        return value

    @cached_property
    def _bound(self) -> int:
        return int(10**self.precision)

    @cached_property
    def _divisor(self) -> int:
        return int(10**self.scale)


@dataclass(frozen=True, kw_only=True)
class Uuid(Step):
    """A UUID of 16 bytes, as its text."""

    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """See `Step.read`."""
        octets = cursor.fixed(rows, 16, "V16")
        values = np.empty(len(rows), dtype=object)
        values[:] = [uuid_text(octet.tobytes()) for octet in octets]
        return Column(values=values, nulls=np.zeros(len(rows), dtype=bool))
