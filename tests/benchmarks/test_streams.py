"""The checks of what streams are measured by: a wrong tile, a wrong answer and a growing process are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.benchmark import WrongAnswerError
from benchmarks.live import inputs, reading
from benchmarks.works import features_keys
from benchmarks.works.features import check
from benchmarks.works.features.inputs import START_MS, Payments, events, tiles_of
from benchmarks.works.memory import growth

BEGIN_MS = 1_800_000_000_000
END_MS = BEGIN_MS + 70_000


def answers(sent: pa.Table) -> pa.Table:
    """What a right store serves at one end, computed by Arrow and not by the check."""
    within = (np.asarray(sent["event_time"]) >= END_MS - reading.WINDOW_MS) & (np.asarray(sent["event_time"]) < END_MS)
    grouped = sent.filter(pa.array(within)).group_by("card").aggregate([("amount", "count"), ("amount", "sum"), ("amount", "max")])
    found = {row["card"]: row for row in grouped.to_pylist()}
    rows = [found[card] for card in reading.SAMPLED]
    values = [[row[f"amount_{name}"] for row in rows] for name in ("count", "sum", "max")]
    return pa.table(
        {
            "tile_end": [END_MS] * len(rows),
            "card": reading.SAMPLED,
            **dict(zip(reading.FEATURES, values, strict=True)),
        }
    )


def test_what_was_read_is_counted_again() -> None:
    sent = inputs.events(BEGIN_MS, 200, 100)
    reading.check(answers(sent), sent)


def test_a_window_has_its_beginning_and_not_its_end() -> None:
    sent = inputs.events(BEGIN_MS, 200, 100)
    edges = [END_MS - reading.WINDOW_MS, END_MS]
    at_edges = {"payment_id": ["first", "after"], "event_time": edges, "card": [reading.SAMPLED[0]] * 2, "amount": [1.0, 2.0]}
    sent = pa.concat_tables([sent, pa.table(at_edges)])
    reading.check(answers(sent), sent)


@pytest.mark.parametrize("feature", reading.FEATURES)
def test_an_answer_that_is_a_little_wrong_fails(feature: str) -> None:
    sent = inputs.events(BEGIN_MS, 200, 100)
    right = answers(sent)
    values: list[Any] = right[feature].to_pylist()
    values[7] = values[7] + 1 if feature == "payments_1m" else values[7] * (1 + 1e-9)
    with pytest.raises(WrongAnswerError, match=reading.SAMPLED[7]):
        reading.check(right.set_column(right.column_names.index(feature), feature, pa.array(values)), sent)


def test_no_answer_fails() -> None:
    sent = inputs.events(BEGIN_MS, 200, 100)
    with pytest.raises(WrongAnswerError, match="nothing"):
        reading.check(answers(sent).slice(0, 0), sent)


def test_payments_are_out_of_order_within_what_their_source_allows() -> None:
    late_ms = BEGIN_MS + np.arange(1_000) * 5 - np.asarray(inputs.events(BEGIN_MS, 200, 5)["event_time"])
    assert 0 <= late_ms.min() < late_ms.max() < inputs.view().source.lateness_ms


def test_a_process_grows_when_its_last_fifth_is_above_its_second() -> None:
    assert growth([900.0] * 20 + [100.0] * 60 + [105.0] * 20) == 1.05
    assert growth([100.0] * 100) == 1.0


# --- tiles


def keyed() -> Payments:
    return Payments(topic="payments_1k", count=5_000, cards=50, per_minute=1_000)


def truth(folder: Path, *, above: float | None) -> Path:
    file = folder / "truth.parquet"
    pq.write_table(tiles_of(events(keyed()), above=above), file)
    return file


def naive(*, above: float) -> Iterator[check.Tile]:
    tiles: dict[tuple[str, int], list[float]] = {}
    for row in events(keyed()).to_pylist():
        amounts = tiles.setdefault((row["card"], row["event_time"] // 60_000 * 60_000), [])
        amounts += [row["amount"]] if row["amount"] > above else []
    for (card, start_ms), amounts in tiles.items():
        yield card, start_ms, len(amounts), sum(amounts) if amounts else None, max(amounts, default=None)


def test_the_tiles_of_a_further_view_are_what_a_loop_counts(tmp_path: Path) -> None:
    written = list(naive(above=200))
    assert any(count == 0 for *_, count, _, _ in written)
    check.right(iter(written), truth(tmp_path, above=200))
    assert {start_ms for _, start_ms, *_ in written} == {START_MS + minute * 60_000 for minute in range(5)}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda tile: (*tile[:2], tile[2] + 1, *tile[3:]), "count: 1 tiles differ"),
        (lambda tile: (*tile[:3], 0.0, tile[4]), "sum: 1 tiles differ"),
        (lambda tile: (*tile[:4], 1e9), "max: 1 tiles differ"),
        (lambda tile: ("another", *tile[1:]), "1 are missing"),
    ],
)
def test_one_wrong_tile_fails(tmp_path: Path, change: object, why: str) -> None:
    first, *rest = naive(above=200)
    assert callable(change)
    with pytest.raises(WrongAnswerError, match=why):
        check.right(iter([change(first), *rest]), truth(tmp_path, above=200))


@pytest.mark.slow
def test_every_number_of_keys_has_as_many_tiles_for_an_event() -> None:
    tiles = [len(tiles_of(events(features_keys.payments(size, 1_000_000)))) for size in features_keys.KEYS]
    assert max(tiles) / min(tiles) < 1.01
