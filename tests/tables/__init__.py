"""Files of one record from anywhere: what each holds for a reader, or why every reader refuses it. The readers' tests take them from here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.catalog import load
from features.plan import Plan
from schemas.schema import SchemaSet

DEFINITIONS = Path(__file__).parent / "definitions"
SCHEMAS = Path(__file__).parent / "schemas"
AT_MS = 1_767_607_200_000
"""2026-01-05T10:00Z."""

Row = dict[str, Any]


def plan() -> Plan:
    """The definitions, compiled."""
    return load(DEFINITIONS, SCHEMAS)


def schemas() -> SchemaSet:
    """Their schemas, with the built-in ones."""
    return SchemaSet.load(SCHEMAS)


def row(**changes: Any) -> Row:
    """A row as the fields' types have it, instants in ms; `items` is the default's where the file lacks it."""
    return {"id": "a", "event_time": AT_MS, "card": None, "amount": 1.5, "items": 1, "seen": None, "flag": None} | changes


def ms(value: Any) -> Any:
    """An instant in ms."""
    if not isinstance(value, datetime):
        return value
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def in_order(rows: list[Row]) -> list[Row]:
    """Rows of several files, in an order that no reader gives them."""
    return sorted(({name: ms(value) for name, value in each.items()} for each in rows), key=repr)
