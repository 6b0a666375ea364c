"""Payments from a seed; their tiles in three views, in plain Python; and what the features are at the end of the history, as the oracle says."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.catalog import load
from features.partials.partial import Partial
from features.plan import Plan, ViewPlan
from inference.online.writer import tile_schema
from tests.oracle import Question, answers

HERE = Path(__file__).parent
HOUR_MS, TILE_MS, DELAY_MS = 3_600_000, 300_000, 62_000
START_MS = 19_723 * 24 * HOUR_MS
"""2024-01-01."""
SLACK_MS = 24 * HOUR_MS
"""How much longer than the longest window the store keeps tiles unless one says otherwise."""
END_MS = START_MS + 27 * HOUR_MS
"""Of the history: as long as the store keeps tiles of the longest window, three hours, and a day of slack."""
KEYS = 2_000
"""Of each view."""
PAYMENTS_PER_HOUR = 2_000
"""A key has a payment every hour: 27 in the history, 3 in the longest window."""
SEED = 5
TIME = pa.timestamp("ms", tz="UTC")

VIEWS = {"card_activity": "card", "merchant_activity": "merchant", "customer_activity": "customer"}
"""View → its key; the names of its features begin with it."""

Payment = Mapping[str, Any]


def amount(payment: Payment) -> Any:
    """What the features are about."""
    return payment["amount"]


def large(payment: Payment) -> bool:
    """As `merchant_large_1h` counts them."""
    return bool(payment["amount"] > 200)


QUESTIONS = {
    "card_activity": [
        Question(name="card_payments_1h", aggregation="Count", window_ms=HOUR_MS),
        Question(name="card_payments_3h", aggregation="Count", window_ms=3 * HOUR_MS),
        Question(name="card_amount_sum_1h", aggregation="Sum", window_ms=HOUR_MS, value=amount),
        Question(name="card_amount_sum_3h", aggregation="Sum", window_ms=3 * HOUR_MS, value=amount),
        Question(name="card_amount_mean_3h", aggregation="Mean", window_ms=3 * HOUR_MS, value=amount),
        Question(name="card_amount_max_3h", aggregation="Max", window_ms=3 * HOUR_MS, value=amount),
    ],
    "merchant_activity": [
        Question(name="merchant_payments_1h", aggregation="Count", window_ms=HOUR_MS),
        Question(name="merchant_payments_3h", aggregation="Count", window_ms=3 * HOUR_MS),
        Question(name="merchant_large_1h", aggregation="Count", window_ms=HOUR_MS, where=large),
        Question(name="merchant_amount_mean_1h", aggregation="Mean", window_ms=HOUR_MS, value=amount),
        Question(name="merchant_amount_mean_3h", aggregation="Mean", window_ms=3 * HOUR_MS, value=amount),
        Question(name="merchant_amount_std_3h", aggregation="StdDev", window_ms=3 * HOUR_MS, value=amount),
    ],
    "customer_activity": [
        Question(name="customer_payments_1h", aggregation="Count", window_ms=HOUR_MS),
        Question(name="customer_payments_3h", aggregation="Count", window_ms=3 * HOUR_MS),
        Question(name="customer_amount_sum_3h", aggregation="Sum", window_ms=3 * HOUR_MS, value=amount),
        Question(name="customer_amount_mean_3h", aggregation="Mean", window_ms=3 * HOUR_MS, value=amount),
        Question(name="customer_amount_min_3h", aggregation="Min", window_ms=3 * HOUR_MS, value=amount),
        Question(name="customer_amount_max_3h", aggregation="Max", window_ms=3 * HOUR_MS, value=amount),
    ],
}
"""What the definitions say, for the oracle."""


def plan() -> Plan:
    """The definitions, compiled."""
    return load(HERE / "definitions", HERE / "schemas")


def ensure(folder: Path, *, hours: int = 27) -> None:
    """Write `tiles/<view>.parquet` of so many hours, and `features/<view>.parquet` as of the end of the history, unless they are there."""
    if (folder / "done").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tiles").mkdir(parents=True)
    (folder / "features").mkdir()
    payments = _payments(hours)
    for name, key in VIEWS.items():
        view = plan().views[name]
        by_key = defaultdict(list)
        for payment in payments:
            by_key[payment[key]].append(payment)
        pq.write_table(_tiles(view, by_key), folder / "tiles" / f"{name}.parquet")
        rows = [{key: value, **_features(name, own)} for value, own in sorted(by_key.items())]
        pq.write_table(pa.Table.from_pylist(rows), folder / "features" / f"{name}.parquet")
    (folder / "done").touch()


def _payments(hours: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(SEED)
    count = hours * PAYMENTS_PER_HOUR
    columns: dict[str, list[Any]] = {"event_time": np.sort(rng.integers(START_MS, START_MS + hours * HOUR_MS, count)).tolist()}
    for key in VIEWS.values():
        columns[key] = [f"{key}-{number:05d}" for number in rng.integers(0, KEYS, count)]
    columns["amount"] = np.round(rng.lognormal(4.0, 1.5, count), 2).tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _tiles(view: ViewPlan, by_key: Mapping[str, Sequence[Payment]]) -> pa.Table:
    """In the order in which a stream closes them."""
    rows = []
    for key, payments in by_key.items():
        tiles = defaultdict(list)
        for payment in payments:
            tiles[payment["event_time"] // TILE_MS * TILE_MS].append(payment)
        for start, members in tiles.items():
            columns: dict[str, Any] = {view.keys[0].name: key, "tile_start": start, "revision": 0}
            for partial in view.partials:
                columns |= _partial(partial, [amount(payment) for payment in members])
            rows.append(columns)
    rows.sort(key=lambda row: (row["tile_start"], row[view.keys[0].name]))
    schema = tile_schema(view)
    return pa.table({field.name: pa.array([row[field.name] for row in rows], type=field.type) for field in schema})


def _partial(partial: Partial, amounts: Sequence[float]) -> dict[str, Any]:
    match partial.kind:
        case "count":
            return {partial.name: len(amounts) if partial.where is None else sum(value > 200 for value in amounts)}
        case "sum":
            return {partial.name: sum(amounts)}
        case "min":
            return {partial.name: min(amounts)}
        case "max":
            return {partial.name: max(amounts)}
        case "moments":
            off = [value - amounts[0] for value in amounts]
            found = (len(off), amounts[0], sum(off), sum(value * value for value in off))
            return dict(zip((column.name for column in partial.columns), found, strict=True))
    raise AssertionError(partial.kind)


def _features(view: str, payments: Sequence[Payment]) -> dict[str, Any]:
    return answers(
        QUESTIONS[view],
        payments,
        time="event_time",
        belongs=lambda payment: True,
        as_of_ms=END_MS + DELAY_MS,
        tile_ms=TILE_MS,
        delay_ms=DELAY_MS,
    )
