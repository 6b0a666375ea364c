"""A small portable SQL expression language: parsed and typed once, the same value in Flink SQL, Spark SQL and Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa

from features.expressions.operations import Node, as_array, compute, walk, write
from features.expressions.parser import Reader, settled
from schemas.types import DataType


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A typed expression over the columns of one source."""

    root: Node

    @cached_property
    def text(self) -> str:
        """The canonical text: the same for expressions that differ only in spelling; parses to itself."""
        return write(self.root, "text")

    @property
    def type(self) -> DataType:
        """The type of the value."""
        return self.root.type

    @property
    def nullable(self) -> bool:
        """Whether the value may be null."""
        return self.root.nullable

    @property
    def column(self) -> str | None:
        """The column that it is, and nothing more."""
        return str(self.root.value) if self.root.op == "column" else None

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns read, sorted."""
        return tuple(sorted({str(node.value) for node in walk([self.root]) if node.op == "column"}))

    def as_double(self) -> Expression:
        """The same value as a double; a sum of int64 would wrap where a mean must not."""
        if self.type is not DataType.INT64:
            return self
        return Expression(root=Node(op="double", type=DataType.FLOAT64, nullable=self.nullable, args=(self.root,)))

    def sql(self, dialect: Literal["flink", "spark"], prefix: str = "") -> str:
        """The expression in an engine's SQL, everything quoted; `prefix` goes before each column, e.g. `e.`."""
        return write(self.root, dialect, prefix)

    def evaluate(self, table: pa.Table | pa.RecordBatch) -> pa.Array[Any]:
        """The value for every row, as an array of `type.arrow`."""
        columns = {str(node.value): _column(table, node) for node in walk([self.root]) if node.op == "column"}
        values: pa.Array[Any] = as_array(compute(self.root, columns, table.num_rows), table.num_rows)
        return values


def parse(text: str, columns: Mapping[str, DataType], nullable: frozenset[str], where: str, *, owner: str = "the schema") -> Expression:
    """Parse and type an expression.

    Args:
        text: In the expression language.
        columns: Name → type of what it may read.
        nullable: The columns that may be null.
        where: The place to name in an error, e.g. `origin_departures.late_1h`.
        owner: Who has the columns, for errors, e.g. `source "departures"`.

    Raises:
        DefinitionError: It cannot be parsed or typed; one line.
    """
    return Expression(root=settled(Reader(columns=columns, nullable=nullable, where=where, owner=owner).read(text)))


def _column(table: pa.Table | pa.RecordBatch, node: Node) -> Any:
    column: Any = table.column(str(node.value))
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column if column.type == node.type.arrow else column.cast(node.type.arrow, safe=False)
