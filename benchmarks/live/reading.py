"""A reader that asks for the features at the end of one tile after the other, until it is told that they are exact; and whether they are."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from benchmarks.benchmark import WrongAnswerError
from benchmarks.live import inputs
from benchmarks.processes import CommandError
from inference.online.reader import OnlineReader
from inference.online.redis.connection import Client
from inference.online.redis.store import RedisStore

SAMPLED = inputs.cards()[:: inputs.CARDS // 20]
"""The cards that are asked for."""
FEATURES = ("payments_1m", "amount_sum_1m", "amount_max_1m")
WINDOW_MS = 60_000

_POLL_S = 0.005
_PATIENCE_S = 60.0


def read(client: Client, ends_ms: Sequence[int]) -> pa.Table:
    """Read every tile's end as soon as it can be.

    Args:
        client: Of the store.
        ends_ms: The tiles' ends, ascending.

    Returns:
        For each end and card: `tile_end`, `readable` (ms since the epoch, when the first exact answer was there), `card` and the features.

    Raises:
        CommandError: One is not readable a minute after it was due.
    """
    service, view = inputs.service(), inputs.view()
    reader, parts = OnlineReader(service, RedisStore(client)), []
    for end_ms in ends_ms:
        as_of = pa.array([end_ms + view.delay_ms] * len(SAMPLED)).cast(pa.timestamp("ms", tz="UTC"))
        requests = pa.table({"request_id": SAMPLED, "event_time": as_of, "card": SAMPLED})
        while any((served := reader.read(requests).table)["stale"].to_pylist()):
            if time.time() > (end_ms + view.delay_ms) / 1000 + _PATIENCE_S:
                raise CommandError(f"the tile that ends at {end_ms} is not readable {_PATIENCE_S:.0f} s after it was due")
            time.sleep(_POLL_S)
        now_ms = time.time() * 1000
        asked = {"tile_end": np.full(len(SAMPLED), end_ms), "readable": np.full(len(SAMPLED), now_ms)}
        parts.append(pa.table({**asked, "card": SAMPLED, **{name: served[name] for name in FEATURES}}))
    return pa.concat_tables(parts)


def check(answers: pa.Table, sent: pa.Table) -> None:
    """Count again, naively, what was answered.

    Raises:
        WrongAnswerError: An answer is not what the events say.
    """
    payments: dict[str, list[tuple[int, float]]] = {card: [] for card in SAMPLED}
    for card, moment, amount in zip(*(sent[name].to_pylist() for name in ("card", "event_time", "amount")), strict=True):
        if card in payments:
            payments[card].append((moment, amount))
    if not len(answers):
        raise WrongAnswerError("nothing was read")
    for answer in answers.to_pylist():
        end = answer["tile_end"]
        amounts = [amount for moment, amount in payments[answer["card"]] if end - WINDOW_MS <= moment < end]
        expected = (len(amounts), sum(amounts), max(amounts, default=None))
        count, total, largest = (answer[name] for name in FEATURES)
        if count != expected[0] or largest != expected[2] or not np.isclose(total, expected[1], rtol=1e-12, atol=0.0):
            raise WrongAnswerError(f"{answer['card']} at {end}: {(count, total, largest)} was served, expected {expected}")
