"""What is approximate stays within its stated bound; what maps keep comes back as it went in."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features import Quantile
from features.columns.tile_table import TileIndex, Tiles
from features.columns.values import Values
from features.partials.buckets import QUANTILE, BucketsPartial
from features.partials.finish import Finish
from features.partials.hyperloglog import REGISTERS, estimate
from features.partials.map_text import Entries, canonical
from features.partials.partial import Partial
from features.partials.registers import DISTINCT, RegistersPartial
from features.partials.tally import CATEGORY, TOP, TallyPartial
from features.plan import WindowFeature
from features.window import Sliding
from schemas.types import DataType
from tests.features.kernel.example import expression
from tests.naive_entries import entries, escaped


def folded(kind: type[Partial], finish: Finish, type_: DataType, tiles: Sequence[str | None], column: str, **options: object) -> object:
    """One feature of one row that has these tiles."""
    parameter, argument = options.get("parameter"), options.get("argument")
    assert parameter is None or isinstance(parameter, int)
    assert argument is None or isinstance(argument, int | float | str)
    partial = kind(name="m", input=expression(column), parameter=parameter)
    feature = WindowFeature(name="f", finish=finish, partials=(partial,), window=Sliding(size_ms=1), type=type_, text="", argument=argument)
    zeros = np.zeros(len(tiles), dtype=np.int64)
    columns = {"m": Values.of(pa.array(tiles, pa.string()), DataType.STRING)}
    given = Tiles(owner=zeros, start_ms=zeros, columns=columns)
    index = TileIndex.of((1,), given)
    window = index.window(index.ranges(zeros[:1], zeros[:1] + 1, Sliding(size_ms=1)))
    (found,) = partial.finish([feature], [partial.merge(given, index, window, condensed=False)]).values()
    return found[0].as_py()


def split(values: list[Any], parts: int) -> list[list[Any]]:
    return [values[part::parts] for part in range(parts)]


@pytest.mark.parametrize("count", [1, 10, 100, 1_000, 4_000, 10_000, 12_000, 20_000, 50_000])
def test_a_distinct_count_is_within_four_standard_errors(count: int) -> None:
    errors = []
    for seed in range(3):
        values = [f"{seed}:{number}" for number in range(count)] * (2 if count < 10_000 else 1)
        tiles = [entries("registers", part, None) for part in split(values, 7)]
        got = folded(RegistersPartial, DISTINCT, DataType.INT64, tiles, "word")
        assert isinstance(got, int)
        errors.append((got - count) / count)
    assert max(map(abs, errors)) <= 4 * 1.04 / math.sqrt(REGISTERS), errors
    assert abs(statistics.mean(errors)) <= 3 * 1.04 / math.sqrt(3 * REGISTERS), errors


@pytest.mark.parametrize("count", [1e2, 1e3, 3e4, 1e5, 1e7, 1e9, 1e12])
def test_the_estimator_has_its_stated_error_also_far_beyond_what_fits_a_test(count: float) -> None:
    """Registers are drawn as that many distinct values leave them: the largest rank of one is at most k with exp(−n / 4096 · 2⁻ᵏ)."""
    rng = np.random.default_rng(7)
    at_most = np.exp(-count / REGISTERS * np.exp2(-np.arange(0, 53, dtype=float)))
    histograms = [np.bincount(np.searchsorted(at_most, rng.random(REGISTERS)), minlength=54) for _ in range(200)]
    errors = estimate(np.array(histograms)) / count - 1
    poisson = 1 / math.sqrt(count)  # how many values there are is drawn as well
    assert abs(errors.mean()) < 4 * (0.0163 + poisson) / math.sqrt(200)
    assert errors.std() < 1.2 * (0.0163 + poisson)


def test_no_register_set_is_nothing_and_all_full_does_not_overflow() -> None:
    full = np.zeros((2, 54), dtype=np.int64)
    full[0, 0] = full[1, 53] = REGISTERS
    assert estimate(full)[0] == 0
    assert estimate(full)[1] > 1 << 58


@pytest.mark.parametrize("accuracy", [0.5, 0.05, 0.01, 0.0001])
@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.95, 0.999, 1.0])
def test_a_quantile_is_within_its_accuracy(accuracy: float, q: float) -> None:
    dice = random.Random(11)
    samples = [dice.lognormvariate(0, 5) * dice.choice([1, 1, -1]) for _ in range(900)] + [
        0.0,
        1e300,
        -1e300,
        1.7976931348623157e308,
        5e-324,
    ]
    per_octave = Quantile("x", q=q, accuracy=accuracy).parameter
    assert per_octave is not None
    assert 1 / (2 * per_octave + 1) <= accuracy
    tiles = [entries("buckets", part, per_octave) for part in split(samples, 5)]
    got = folded(BucketsPartial, QUANTILE, DataType.FLOAT64, tiles, "x", parameter=per_octave, argument=q)
    expected = sorted(samples)[math.floor(q * (len(samples) - 1))]
    assert isinstance(got, float)
    assert math.isfinite(got)
    assert abs(got - expected) <= accuracy * abs(expected) * (1 + 1e-12) + 2.0**-1022


def test_sub_keys_of_any_text_come_back() -> None:
    texts = ["", " ", ",", "\\", "\\c", "\\s", "\\\\,c", "a b", "é", "\U0001f600", "1 2,3", "\x00"]
    read = Entries.of(pa.array([",".join(f"{n} {escaped(text)}" for n, text in enumerate(texts, 1)), "7 x"]))
    assert [read.keys[key].as_py() for key in read.key.tolist()] == [*texts, "x"]
    assert read.number.tolist() == [*range(1, 13), 7]
    assert read.offsets.tolist() == [0, 12, 13]


def test_the_store_keeps_equal_maps_as_equal_bytes() -> None:
    assert canonical("2 b,10 a,1 ") == canonical("1 ,2 b,10 a") == "1 ,10 a,2 b"
    assert canonical(None) is None
    assert canonical("1 a") == "1 a"


@pytest.mark.parametrize("tiles", [["1 a", "!", "2 b"], ["!"]])
def test_a_tile_whose_entries_were_too_many_makes_the_value_unknown(tiles: list[str]) -> None:
    assert folded(TallyPartial, CATEGORY, DataType.INT64, tiles, "word", argument="a") is None
    assert folded(TallyPartial, TOP, DataType.STRING, tiles, "word", argument=1) is None
    assert canonical("!") == "!"


def test_of_equal_counts_the_smallest_bytes_come_first() -> None:
    tiles: list[str | None] = ["2 \U0001f600,2 \uffff,1 z", "1 z", None]
    got = [folded(TallyPartial, TOP, DataType.STRING, tiles, "word", argument=rank) for rank in (1, 2, 3, 4)]
    assert got == ["z", "\uffff", "\U0001f600", None]
