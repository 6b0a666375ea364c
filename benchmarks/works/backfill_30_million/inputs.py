"""Synthetic payments from a seed, written day by day: 30 days of a million, a tenth of the keys ten times as busy as the others, and one merchant in every tenth."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

DAY_MS = 86_400_000
START_MS = 19_723 * DAY_MS
"""2024-01-01."""
PAYMENTS_PER_DAY, REQUESTS_PER_DAY = 1_000_000, 33_000
CARDS, MERCHANTS = 20_000, 1_000
BUSIEST = 0
"""A merchant with a tenth of all payments."""
SEED = 30

_INSTANT = pa.timestamp("ms", tz="UTC")


def write(folder: Path, days: int) -> None:
    """Write `events/payments/` and `requests/`, a Parquet file a day."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "events" / "payments").mkdir(parents=True)
    (folder / "requests").mkdir()
    for day in range(days):
        rng = np.random.default_rng([SEED, day])
        payments = _rows(rng, day, PAYMENTS_PER_DAY, "payment_id")
        amount = np.round(rng.lognormal(4.0, 1.5, PAYMENTS_PER_DAY), 2)
        pq.write_table(payments.append_column("amount", pa.array(amount)), folder / "events" / "payments" / f"{day:02d}.parquet")
        pq.write_table(_rows(rng, day, REQUESTS_PER_DAY, "request_id"), folder / "requests" / f"{day:02d}.parquet")


def _rows(rng: np.random.Generator, day: int, count: int, id: str) -> pa.Table:
    time_ms = np.sort(rng.integers(0, DAY_MS, count)) + START_MS + day * DAY_MS
    merchant = np.where(rng.random(count) < 0.1, BUSIEST, _skewed(rng, MERCHANTS, count))
    return pa.table(
        {
            id: pa.array(np.arange(day * count, (day + 1) * count)).cast(pa.string()),
            "event_time": pa.array(time_ms).cast(_INSTANT),
            "card": _named("card", _skewed(rng, CARDS, count), CARDS),
            "merchant": _named("merchant", merchant, MERCHANTS),
        }
    )


def _skewed(rng: np.random.Generator, keys: int, count: int) -> NDArray[np.int64]:
    """Keys, of which the first tenth come ten times as often as each of the others."""
    busy = rng.random(count) < 10 / 19
    return np.where(busy, rng.integers(0, keys // 10, count), rng.integers(keys // 10, keys, count))


def _named(stem: str, number: NDArray[np.int64], keys: int) -> pa.Array[Any]:
    return pa.DictionaryArray.from_arrays(number, [f"{stem}-{n}" for n in range(keys)]).cast(pa.string())
