"""Payments as they happen: which is due when, from a seed and the time at which the first is due."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from features.catalog import load
from features.plan import ServicePlan, ViewPlan

HERE = Path(__file__).parent
DEFINITIONS, SCHEMAS = HERE / "definitions", HERE / "schemas"
SOURCE, VIEW, SERVICE = "payments", "card_seconds", "card_risk"
CARDS = 2_000
DISORDER_MS = 800
"""How much later than its time an event is sent, at most; the source allows for a second."""
_SEED = 17


def service() -> ServicePlan:
    """Whose features are read."""
    return load(DEFINITIONS, SCHEMAS).services[SERVICE]


def view() -> ViewPlan:
    """Its only one."""
    return load(DEFINITIONS, SCHEMAS).views[VIEW]


def cards() -> list[str]:
    """All of them."""
    return [f"card-{number}" for number in range(CARDS)]


def events(begin_ms: int, rate: int, seconds: int) -> pa.Table:
    """The columns of the schema, row n due `n / rate` seconds after the first."""
    rng, count = np.random.default_rng(_SEED), rate * seconds
    due_ms = begin_ms + np.arange(count) * 1000 // rate
    return pa.table(
        {
            "payment_id": np.arange(count).astype(str),
            "event_time": due_ms - rng.integers(0, DISORDER_MS, count),
            "card": np.array(cards())[rng.integers(0, CARDS, count)],
            "amount": np.round(rng.lognormal(4.0, 1.5, count), 2),
        }
    )
