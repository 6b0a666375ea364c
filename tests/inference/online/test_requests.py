"""Requests are the same whatever they came as."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from inference.online.requests import Requests
from schemas.types import DataType

TYPES = {
    "id": DataType.STRING,
    "at": DataType.TIMESTAMP,
    "zone": DataType.INT64,
    "amount": DataType.FLOAT64,
    "urgent": DataType.BOOLEAN,
}
NUMBERS = ("at", "zone", "amount", "urgent")
ROWS: dict[str, list[Any]] = {
    "id": ["a", "é", ""],
    "at": [0, -1, 10**12],
    "zone": [2**63 - 1, -(2**63), 7],
    "amount": [-0.0, 1e300, float("inf")],
    "urgent": [True, False, True],
}


def both(rows: dict[str, list[Any]]) -> tuple[Requests, Requests]:
    """From records, and from a table."""
    count = len(rows["id"])
    table = pa.table({name: pa.array(rows[name], type=type_.arrow) for name, type_ in TYPES.items()})
    return Requests(TYPES, count, rows), Requests.of_table(table, TYPES)


def told(requests: Requests) -> list[Any]:
    """All that is asked of them."""
    bits = []
    for name in NUMBERS:
        numbers, valid = requests.bits(name)
        there = np.ones(len(requests), dtype=np.bool_) if valid is None else valid
        bits.append([number if known else None for number, known in zip(numbers.tolist(), there.tolist(), strict=True)])
    times = requests.times_ms("at")
    keys = [list(requests.values(name)) for name in ("id", "zone")]
    return [len(requests), None if times is None else times.tolist(), *keys, bits, requests.table.to_pylist()]


@pytest.mark.parametrize("nulls", [False, True])
def test_records_and_the_table_of_them_say_the_same(nulls: bool) -> None:
    rows = {name: [values[0], None if nulls else values[1], values[2]] for name, values in ROWS.items()}
    records, table = both(rows)
    assert told(records) == told(table)
    some = np.array([2, 0])
    assert told(records.take(some)) == told(table.take(some)) == told(both({name: [v[2], v[0]] for name, v in rows.items()})[0])
    assert (records.times_ms("at") is None) == nulls


def test_a_table_is_asked_for_once_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    records, _ = both(ROWS)
    with monkeypatch.context() as patch:
        patch.setattr("inference.online.requests.pa", None)
        records.values("id"), records.times_ms("at"), records.bits("amount"), records.take(np.array([1])).bits("zone")
    assert records.table is records.table
