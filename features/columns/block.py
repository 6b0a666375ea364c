"""Columns of numbers side by side in one array: what machine code fills, a model's matrix is made of, and predictions are written from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.columns.values import Bools, Int64s, Values
from schemas.types import DataType


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names and types, in order. One is kept as long as its blocks are made.

    Attributes:
        types: Name → type.
    """

    types: Mapping[str, DataType]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(self.types)

    @cached_property
    def places(self) -> Mapping[str, tuple[int, DataType]]:
        """Name → where it is, and its type."""
        return {name: (place, type_) for place, (name, type_) in enumerate(self.types.items())}

    @cached_property
    def doubles(self) -> Bools:
        """bool[columns, 1], which are doubles."""
        return np.array([type_ is DataType.FLOAT64 for type_ in self.types.values()], dtype=np.bool_).reshape(-1, 1)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Which are strings."""
        return tuple(name for name, type_ in self.types.items() if type_ is DataType.STRING)

    def followed_by(self, *others: Columns) -> Columns:
        """All of them."""
        return Columns(types={name: type_ for each in (self, *others) for name, type_ in each.types.items()})


@dataclass(frozen=True, kw_only=True, eq=False)
class Block(Mapping[str, Values]):
    """Some columns of m rows; looked at one by one they are `Values`.

    Attributes:
        columns: Which, in the order of the arrays.
        bits: int64[columns, m]: whole numbers, the bits of doubles (never −0.0), 0 and 1 for booleans, places in `words` for strings; anything where not valid.
        valid: bool[columns, m].
        words: Of each column of strings the distinct ones.
    """

    columns: Columns
    bits: Int64s
    valid: Bools
    words: Mapping[str, pa.Array[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, columns: Columns, values: Mapping[str, Values], rows: int) -> Self:
        """Put columns side by side; each has so many rows."""
        bits, valid = np.empty((len(columns.types), rows), dtype=np.int64), np.ones((len(columns.types), rows), dtype=np.bool_)
        words: dict[str, pa.Array[Any]] = {}
        for place, (name, type_) in enumerate(columns.types.items()):
            column = values[name]
            if type_ is DataType.FLOAT64:
                np.add(column.numbers, 0.0, out=bits[place].view(np.float64))
            else:
                bits[place] = column.numbers
            if column.valid is not None:
                valid[place] = column.valid
            if column.words is not None:
                words[name] = column.words
        return cls(columns=columns, bits=bits, valid=valid, words=words)

    @classmethod
    def together(cls, columns: Columns, parts: Sequence[Block]) -> Self:
        """Blocks of the same rows one after the other; `columns` are theirs."""
        words = {name: each for part in parts for name, each in part.words.items()}
        bits, valid = (np.concatenate(each) for each in zip(*((part.bits, part.valid) for part in parts), strict=True))
        return cls(columns=columns, bits=bits, valid=valid, words=words)

    @property
    def rows(self) -> int:
        """How many."""
        return int(self.bits.shape[1])

    def __getitem__(self, name: str) -> Values:
        place, type_ = self.columns.places[name]
        numbers: NDArray[Any] = self.bits[place]
        if type_ is DataType.FLOAT64:
            numbers = numbers.view(np.float64)
        elif type_ is DataType.BOOLEAN:
            numbers = numbers.astype(np.uint8)
        return Values(numbers=numbers, valid=self.valid[place], words=self.words.get(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns.types)

    def __len__(self) -> int:
        return len(self.columns.types)

    def part(self, columns: Columns, first: int) -> Block:
        """Some of the columns, from a place on."""
        end = first + len(columns.types)
        words = {name: self.words[name] for name in columns.texts}
        return Block(columns=columns, bits=self.bits[first:end], valid=self.valid[first:end], words=words)

    def take(self, rows: Int64s) -> Block:
        """Some of the rows."""
        return Block(columns=self.columns, bits=self.bits[:, rows], valid=self.valid[:, rows], words=self.words)

    def numbers(self) -> NDArray[np.float64]:
        """float64[columns, m]: as doubles; NaN where null."""
        doubles = self.columns.doubles
        found = np.where(doubles, self.bits.view(np.float64), self.bits)
        found[~self.valid] = np.nan
        return found
