"""How each Avro type of a writer is read as a portable type: one step per field, over all records of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.avro_cursor import DTYPES, NO_SUCH_LENGTH, TOO_WIDE, TRUNCATED, Column, Cursor, Rows, Values
from schemas.logical import to_ms
from schemas.types import DataType

_DEPTH = 64


class Step(ABC):
    """How one Avro type of the writer is read as a portable type."""

    @abstractmethod
    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """Read it at the position of each of the rows, in their order."""


def _column(values: Values) -> Column:
    return Column(values=values, nulls=np.zeros(len(values), dtype=bool))


@dataclass(frozen=True, kw_only=True)
class Null(Step):
    """The null of a union."""

    type: DataType

    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """See `Step.read`."""
        return Column(values=np.zeros(len(rows), dtype=DTYPES[self.type]), nulls=np.ones(len(rows), dtype=bool))


@dataclass(frozen=True, kw_only=True)
class Boolean(Step):
    """One byte, 0 or 1."""

    field: str

    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """See `Step.read`."""
        octet = cursor.fixed(rows, 1, "u1")
        wrong = octet > 1
        if wrong.any():
            cursor.refuse(rows[wrong], f'wrong-type: field "{self.field}": a boolean is 0 or 1, got {{}}', octet[wrong])
        return _column(octet == 1)


@dataclass(frozen=True, kw_only=True)
class Whole(Step):
    """An int or long: as a whole number, promoted to a double or float, or as the moment that its logical type makes of it."""

    field: str
    bits: int
    type: DataType
    single: bool = False
    moment: str | None = None

    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """See `Step.read`."""
        values = cursor.whole(rows)
        if self.bits == 32:
            wrong = (values < -(2**31)) | (values >= 2**31)
            if wrong.any():
                cursor.refuse(rows[wrong], f'wrong-type: field "{self.field}": {{}} is no 32-bit integer', values[wrong])
        if self.moment is not None:
            return _column(to_ms(values, self.moment))
        promoted = values.astype(DTYPES[self.type])
        return _column(promoted.astype(np.float32).astype(np.float64) if self.single else promoted)


@dataclass(frozen=True, kw_only=True)
class Real(Step):
    """A float or double."""

    bits: int

    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """See `Step.read`."""
        return _column(cursor.fixed(rows, self.bits // 8, f"<f{self.bits // 8}").astype(np.float64))


@dataclass(frozen=True, kw_only=True)
class Text(Step):
    """A string, or bytes read as one."""

    field: str

    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """See `Step.read`."""
        starts, stops = cursor.span(rows)
        data = cursor.data
        pieces = [data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
        values = np.empty(len(rows), dtype=object)
        try:
            values[:] = [piece.decode() for piece in pieces]
        except UnicodeDecodeError:
            for index, piece in enumerate(pieces):
                try:
                    values[index] = piece.decode()
                except UnicodeDecodeError:
                    cursor.refuse(rows[index : index + 1], f'wrong-type: field "{self.field}": a string that is not UTF-8')
        return _column(values)


@dataclass(frozen=True, kw_only=True)
class Enum(Step):
    """A symbol by its number."""

    field: str
    symbols: tuple[str | None, ...]  # None: unknown to the reader

    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """See `Step.read`."""
        index = cursor.whole(rows)
        wrong = (index < 0) | (index >= len(self.symbols))
        if wrong.any():
            cursor.refuse(rows[wrong], f'wrong-type: field "{self.field}": symbol {{}} of an enum with {len(self.symbols)}', index[wrong])
        values = np.array([*self.symbols, None], dtype=object)[np.where(wrong, len(self.symbols), index)]
        unknown = np.array([value is None for value in values], dtype=bool) & ~wrong
        if unknown.any():
            cursor.refuse(rows[unknown], f'wrong-type: field "{self.field}": a symbol that the current schema does not have')
        return _column(values)


@dataclass(frozen=True, kw_only=True)
class Union(Step):
    """A branch number, then a value of that branch."""

    field: str
    type: DataType
    branches: tuple[Step | str, ...]  # a text: why that branch cannot be read

    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """See `Step.read`."""
        branch = cursor.whole(rows)
        first = int(branch[0]) if len(branch) else 0
        if (branch == first).all() and 0 <= first < len(self.branches) and isinstance(step := self.branches[first], Step):
            return step.read(cursor, rows)
        values = np.zeros(len(rows), dtype=DTYPES[self.type])
        nulls = np.zeros(len(rows), dtype=bool)
        for number, step_or_reason in enumerate(self.branches):
            chosen = np.flatnonzero(branch == number)
            if not chosen.size:
                continue
            if isinstance(step_or_reason, str):
                cursor.refuse(rows[chosen], f'wrong-type: field "{self.field}": {step_or_reason}')
                continue
            part = step_or_reason.read(cursor, rows[chosen])
            values[chosen] = part.values
            nulls[chosen] = part.nulls
        wrong = (branch < 0) | (branch >= len(self.branches))
        if wrong.any():
            cursor.refuse(rows[wrong], f'wrong-type: field "{self.field}": branch {{}} of a union with {len(self.branches)}', branch[wrong])
        return Column(values=values, nulls=nulls)


@dataclass(frozen=True, kw_only=True)
class Skip(Step):
    """Steps over a field that the current schema does not have; any Avro type, one record at a time."""

    kind: object
    named: Mapping[str, Any]

    def read(self, cursor: Cursor, rows: Rows) -> Column:
        """See `Step.read`."""
        for index in range(len(rows)):
            row = rows[index : index + 1]
            try:
                at = self._skip(self.kind, cursor.data, int(cursor.at[row][0]), int(cursor.end[row][0]), 0)
            except ValueError as error:
                cursor.refuse(row, str(error))
            else:
                cursor.advance(row, np.array([at]))
        return _column(np.zeros(len(rows), dtype=bool))

    def _skip(self, kind: Any, data: bytes, at: int, end: int, depth: int) -> int:
        if depth > _DEPTH:
            raise ValueError(f"wrong-type: nested more than {_DEPTH} levels")
        if isinstance(kind, str) and kind in self.named:
            kind = self.named[kind]
        name = kind["type"] if isinstance(kind, Mapping) else kind
        if isinstance(name, list):
            branch, at = _varint(data, at, end)
            if not 0 <= branch < len(name):
                raise ValueError(f"wrong-type: branch {branch} of a union with {len(name)}")
            return self._skip(name[branch], data, at, end, depth + 1)
        match name:
            case "null":
                return at
            case "int" | "long" | "enum":
                return _varint(data, at, end)[1]
            case "string" | "bytes":
                size, at = _varint(data, at, end)
                return _forward(at, size, end)
            case "boolean" | "float" | "double" | "fixed":
                return _forward(at, {"boolean": 1, "float": 4, "double": 8}.get(name) or int(kind["size"]), end)
            case "record" | "error":
                for field in kind["fields"]:
                    at = self._skip(field["type"], data, at, end, depth + 1)
                return at
            case "array" | "map":
                return self._skip_blocks(kind, data, at, end, depth)
            case _:
                return self._skip(name, data, at, end, depth + 1)

    def _skip_blocks(self, kind: Mapping[str, Any], data: bytes, at: int, end: int, depth: int) -> int:
        while True:
            count, at = _varint(data, at, end)
            if count == 0:
                return at
            if count < 0:  # such a block says its size in bytes
                size, at = _varint(data, at, end)
                at = _forward(at, size, end)
                continue
            for _ in range(count):
                before = at
                if kind["type"] == "map":
                    size, at = _varint(data, at, end)
                    at = self._skip(kind["values"], data, _forward(at, size, end), end, depth + 1)
                else:
                    at = self._skip(kind["items"], data, at, end, depth + 1)
                if at == before:
                    break  # items without bytes: however many there are, nothing is left to skip


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    bits = shift = 0
    while True:
        if at >= end:
            raise ValueError(TRUNCATED)
        octet = data[at]
        at += 1
        bits |= (octet & 0x7F) << shift
        if octet < 0x80:
            return (bits >> 1) ^ -(bits & 1), at
        shift += 7
        if shift > 63:
            raise ValueError(TOO_WIDE)


def _forward(at: int, size: int, end: int) -> int:
    if not 0 <= size <= end - at:
        raise ValueError(NO_SUCH_LENGTH)
    return at + size
