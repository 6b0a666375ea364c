"""Busy cards from a seed: an event a minute of each, their tiles, and what windows hold, counted from the events themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.benchmark import WrongAnswerError
from benchmarks.live.inputs import SCHEMAS
from features.catalog import load
from features.plan import ServicePlan, ViewPlan
from inference.online.writer import tile_schema

Int64s = NDArray[np.int64]

DEFINITIONS = Path(__file__).with_name("definitions")
TIME = pa.timestamp("ms", tz="UTC")
MINUTE_MS, HOUR, DAY = 60_000, 60, 24 * 60
"""The tile; and longer times in minutes."""
END = 19_905 * DAY + 12 * HOUR + 30
"""Of all histories, in minutes since the epoch: 2024-07-01 12:30, so that a window with a hop has the tiles that it has on average there."""
SLACK = HOUR
"""How much longer than the window the store keeps tiles, in minutes: for reads as of before now."""
FEATURES = ("payments", "amount_sum", "amount_max")
_SEED = 23


@dataclass(frozen=True, kw_only=True)
class Events:
    """Events of which no two are of one card and minute, in order of their time.

    Attributes:
        cards: Names of the cards.
        card: int64[n], whose each is, as an index into `cards`.
        minute: int64[n], since the epoch.
        cents: int64[n], the amount.
    """

    cards: Sequence[str]
    card: Int64s
    minute: Int64s
    cents: Int64s

    def between(self, first: int, last: int) -> Events:
        """Those of minutes in `[first, last)`."""
        low, high = np.searchsorted(self.minute, (first, last))
        return Events(cards=self.cards, card=self.card[low:high], minute=self.minute[low:high], cents=self.cents[low:high])

    def tiles(self, view: ViewPlan) -> pa.Table:
        """A tile of each, as `TileWriter.write` takes them: in the order in which a stream closes them."""
        amount = self.cents / 100
        columns: dict[str, Any] = {
            view.keys[0].name: np.asarray(self.cards)[self.card],
            "tile_start": self.minute * MINUTE_MS,
            "revision": np.zeros(len(self.card), dtype=np.int64),
        }
        for partial in view.partials:
            columns[partial.name] = np.ones(len(self.card), dtype=np.int64) if partial.kind == "count" else amount
        return pa.table({field.name: pa.array(columns[field.name]).cast(field.type) for field in tile_schema(view)})

    def answers(self, card: Sequence[int], end: Sequence[int], *, window: int, hop: int = 1) -> pa.Table:
        """What windows hold, in exact arithmetic.

        Args:
            card: m cards, as indices.
            end: m, where each window ends, in minutes.
            window: Its size in minutes.
            hop: Its hop in minutes.

        Returns:
            m rows: `card`, `FEATURES`; a sum and a maximum of nothing are null.
        """
        own = {number: self.card == number for number in set(card)}
        minutes, cents = ({number: values[mine] for number, mine in own.items()} for values in (self.minute, self.cents))
        rows = []
        for number, last in zip(card, end, strict=True):
            low, high = np.searchsorted(minutes[number], ((last - window) // hop * hop, last))
            held = cents[number][low:high]
            total, most = (int(held.sum()) / 100, int(held.max()) / 100) if len(held) else (None, None)
            rows.append((self.cards[number], len(held), total, most))
        names, *values = zip(*rows, strict=True)
        types = (pa.int64(), pa.float64(), pa.float64())
        return pa.table(
            {"card": pa.array(names)} | {name: pa.array(each, of) for name, each, of in zip(FEATURES, values, types, strict=True)}
        )


def every_minute(cards: int, minutes: int) -> Events:
    """An event of each card in each of the last minutes; an event is the same however many there are before it."""
    number, first = np.arange(cards * minutes), END - minutes
    return Events(
        cards=[f"card-{card:02d}" for card in range(cards)],
        card=number % cards,
        minute=first + number // cards,
        cents=_cents(cards * minutes)[::-1],
    )


def now_and_then(steps: Sequence[int], *, cards: int, minutes: int) -> Events:
    """Of so many cards for each step an event in every `step` minutes, in phases of their own; of the last minutes."""
    rng, cells = np.random.default_rng(_SEED), []
    for place, step in enumerate(steps):
        for card in range(place * cards, (place + 1) * cards):
            minute = np.arange(END - minutes + int(rng.integers(step)), END, step)
            cells.append(np.stack([minute, np.full(len(minute), card)]))
    minute, card = np.concatenate(cells, axis=1)
    order = np.lexsort((card, minute))
    names = [f"card-{step}-{card:03d}" for step in steps for card in range(cards)]
    return Events(cards=names, card=card[order], minute=minute[order], cents=_cents(len(minute)))


def requests(cards: Sequence[str], end: int, view: ViewPlan, *, seed: int = 0) -> pa.Table:
    """One of each card, as of times at which windows end at `end` (minutes)."""
    time_ms = end * MINUTE_MS + view.delay_ms + np.random.default_rng(seed).integers(0, MINUTE_MS, len(cards))
    ids = [f"{seed}-{row}" for row in range(len(cards))]
    return pa.table({"request_id": ids, "event_time": pa.array(time_ms).cast(TIME), "card": pa.array(list(cards))})


def right(answers: pa.Table, expected: pa.Table) -> None:
    """Compare features, row by row: sums to 1e-12, all else exactly.

    Raises:
        WrongAnswerError: They differ, are of other cards, or are said to be stale.
    """
    if "stale" in answers.column_names and any(answers["stale"].to_pylist()):
        raise WrongAnswerError("rows are marked as stale")
    if answers["card"].to_pylist() != expected["card"].to_pylist():
        raise WrongAnswerError("rows are not those that were asked for")
    for name in FEATURES:
        ours, theirs = (table[name].cast(pa.float64()).to_numpy() for table in (answers, expected))  # null as NaN, which no value is
        differing = ~np.isclose(ours, theirs, rtol=1e-12 if name == "amount_sum" else 0.0, atol=0.0, equal_nan=True)
        if differing.any():
            row = int(np.flatnonzero(differing)[0])
            raise WrongAnswerError(f"{name} of {answers['card'][row]}, row {row}: {ours[row]}, expected {theirs[row]}")


def service(view: str) -> ServicePlan:
    """That which asks for a view."""
    return load(DEFINITIONS, SCHEMAS).services[f"of_{view}"]


def _cents(count: int) -> Int64s:
    return np.random.default_rng(_SEED).integers(100, 100_000, count)
