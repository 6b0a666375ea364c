"""Whether the features of payments are right: for some requests, against sums over the raw events of their keys."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks.benchmark import WrongAnswerError
from benchmarks.works.backfill_30_million.inputs import BUSIEST, REQUESTS_PER_DAY

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
DELAY_MS = 62_000
SAMPLE, SEED = 60, 3


def right(out: Path, events: Path, days: int) -> None:
    """Compare a sample of requests, some of them at the busiest merchant.

    Raises:
        WrongAnswerError: Rows are missing, or values differ.
    """
    got = pq.read_table(out)
    if len(got) != days * REQUESTS_PER_DAY:
        raise WrongAnswerError(f"{len(got):,} rows, expected {days * REQUESTS_PER_DAY:,}")
    rng = np.random.default_rng(SEED)
    busiest = np.flatnonzero(got["merchant"].to_numpy() == f"merchant-{BUSIEST}")
    chosen = np.concatenate([rng.choice(len(got), SAMPLE, replace=False), rng.choice(busiest, 5, replace=False)])
    rows = got.take(chosen).to_pylist()
    for key, tile_ms in (("card", HOUR_MS), ("merchant", 5 * MINUTE_MS)):
        wanted = pa.array(sorted({row[key] for row in rows}))
        mine = ds.dataset(events).to_table(columns=["event_time", key, "amount"], filter=ds.field(key).isin(wanted))
        time_ms, keys, amounts = mine["event_time"].cast(pa.int64()).to_numpy(), mine[key].to_numpy(), mine["amount"].to_numpy()
        for row in rows:
            own = keys == row[key]
            boundary = (round(row["event_time"].timestamp() * 1000) - DELAY_MS) // tile_ms * tile_ms
            _compare(row, _expected(key, time_ms[own], amounts[own], boundary))


def _expected(key: str, time_ms: Any, amounts: Any, boundary: int) -> dict[str, float | None]:
    def window(hours: int) -> list[float]:
        return list(amounts[(time_ms >= boundary - hours * HOUR_MS) & (time_ms < boundary)])

    day = window(24)
    if key == "card":
        return {
            "card_payments_6h": len(window(6)),
            "card_payments_24h": len(day),
            "card_amount_sum_24h": math.fsum(day),
            "card_amount_max_24h": max(day, default=None),
        }
    mean = math.fsum(day) / len(day) if day else None
    spread = None if mean is None or len(day) < 2 else math.sqrt(math.fsum((x - mean) ** 2 for x in day) / (len(day) - 1))
    return {
        "merchant_payments_1h": len(window(1)),
        "merchant_large_1h": sum(amount > 500 for amount in window(1)),
        "merchant_amount_mean_24h": mean,
        "merchant_amount_std_24h": spread,
    }


def _compare(row: dict[str, Any], expected: dict[str, float | None]) -> None:
    for name, value in expected.items():
        got = row[name]
        if (got is None) != (value is None) or (value is not None and abs(got - value) > 1e-12 * abs(value)):
            raise WrongAnswerError(f"{name} of {row['request_id']}: {got}, expected {value}")
