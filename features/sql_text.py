"""Pieces of SQL as text, the same in all engines: names, relations, their layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Dialect = Literal["flink", "spark"]


def quote(name: str) -> str:
    """An identifier, whatever it is."""
    return "`" + name.replace("`", "``") + "`"


def select(columns: Sequence[str], source: str, *rest: str) -> str:
    """A SELECT, a column each line."""
    listed = ",\n".join(f"  {column}" for column in columns)
    return "\n".join([f"SELECT\n{listed}", f"FROM {source}", *rest])


def indent(lines: str) -> str:
    """The lines, one step in."""
    return "\n".join(f"  {line}" for line in lines.split("\n"))


def nested(query: str) -> str:
    """A query as the source of another."""
    return f"(\n{indent(query)}\n)"
