"""What machine code makes of packed values is what numpy makes of them, in every bit and in every word of an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator
from numpy.typing import NDArray

import features.tiles.packed_fold
from features.columns.column import Column
from features.columns.tile_table import TileIndex, Tiles, WindowTiles
from features.columns.values import Int64s, Values
from features.partials.finish import VALUE, Finish
from features.partials.opcodes import MergeCode
from features.partials.sum import SumPartial
from features.plan import ViewPlan, WindowFeature
from features.tiles.codec import HEAD, LENGTH, Enveloped, Packed, TileCodec
from features.tiles.level_block import LevelBlock, LevelTiles
from features.tiles.machine.sums import add
from features.tiles.packed_fold import Folded, PackedFolds, fold_in_numpy
from features.tiles.ranges import TileRanges
from features.window import Lifetime, Sliding
from schemas.errors import DataError
from schemas.types import DataType
from tests.features.kernel.example import TILE_MS, VIEW
from tests.features.tiles.test_codec import NUMBERS

_TOLD = ("tiles", "begin_ms", "small_ms", "unseen", "lacking", "lacking_small")
_WINDOWS = {
    "sliding": (Sliding(size_ms=TILE_MS), Sliding(size_ms=7 * TILE_MS), Sliding(size_ms=300 * TILE_MS)),
    "a hop": (Sliding(size_ms=5 * TILE_MS), Sliding(size_ms=30 * TILE_MS, hop_ms=10 * TILE_MS)),
    "hops": (
        Sliding(size_ms=40 * TILE_MS),
        Sliding(size_ms=90 * TILE_MS, hop_ms=5 * TILE_MS),
        Sliding(size_ms=200 * TILE_MS, hop_ms=20 * TILE_MS),
        Sliding(size_ms=250 * TILE_MS, hop_ms=100 * TILE_MS),
    ),
}
_DOUBLES = np.array([0.0, -0.0, 1.5, -2.25, 1e9, 1e300, -1e300, 5e-324, np.nan, np.inf, -np.inf])
_WHOLES = np.array([0, 1, -1, 7, 2**62, 2**63 - 1, -(2**63)], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class World:
    """A view, packed values of it, and who asks for what."""

    codec: TileCodec
    packed: list[bytes | None]
    owner: Int64s
    boundary_ms: Int64s


def random_view(random: Generator, windows: Sequence[Sliding]) -> ViewPlan:
    """A view of some features of the example, each over some window."""
    chosen = random.choice(len(NUMBERS.features), int(random.integers(1, 25)), replace=False)
    features = [
        replace(NUMBERS.features[number], name=f"f{place}", window=windows[random.integers(len(windows))])
        for place, number in enumerate(chosen)
    ]
    partials = {partial.name: partial for feature in features for partial in feature.partials}
    return replace(NUMBERS, features=tuple(features), partials=tuple(partials.values()))


def cells(random: Generator, column: Column, count: int) -> Values:
    """Any values of a type, some of them null."""
    valid = random.random(count) < random.choice([0.0, 0.5, 1.0, 1.0])
    if column.type is DataType.FLOAT64:
        plain, odd = random.normal(size=count) * 10.0 ** random.integers(-3, 4), random.choice(_DOUBLES, count)
        return Values(numbers=np.where(random.random(count) < random.choice([0.0, 0.3]), odd, plain), valid=valid)
    if column.type is DataType.BOOLEAN:
        return Values(numbers=random.integers(0, 2, count).astype(np.uint8), valid=valid)
    plain_numbers, odd_numbers = random.integers(-2, 9, count), random.choice(_WHOLES, count)
    return Values(numbers=np.where(random.random(count) < random.choice([0.0, 0.3]), odd_numbers, plain_numbers), valid=valid)


def records(random: Generator, codec: TileCodec, *, size_ms: int, from_ms: int, until_ms: int, most: int) -> bytes:
    """Tiles of one level that start in `[from, until)`, some of them twice."""
    count = int(random.integers(0, most))
    numbers = np.sort(random.integers(from_ms // size_ms, max(until_ms // size_ms, from_ms // size_ms + 1), count))
    if random.random() < 0.7:
        numbers = np.unique(numbers)
    start = numbers * size_ms
    columns: dict[str, Values] = {}
    for partial in codec.view.partials:
        columns |= {column.name: cells(random, column, len(start)) for column in partial.columns}
        if partial.compiled in (MergeCode.FIRST, MergeCode.LAST):  # an event of the tile, whose time says whose value is null
            time, valid = start + random.integers(0, 3, len(start)) * (size_ms // 3), random.random(len(start)) < 0.7
            columns[f"{partial.name}__at"] = Values(numbers=time, valid=valid)
            columns[partial.name] = replace(columns[partial.name], valid=valid)
    return b"".join(codec.pack(start_ms=start, revision=np.zeros_like(start), columns=columns))


def packed(random: Generator, codec: TileCodec, origin_ms: int) -> bytes:
    """A packed value, of as many levels as the view has."""
    first, end = origin_ms, origin_ms + 400 * TILE_MS
    small = records(random, codec, size_ms=TILE_MS, from_ms=first, until_ms=end, most=int(random.choice([2, 30, 500])))
    kept = int(random.choice([-(1 << 63), origin_ms, origin_ms + 100 * TILE_MS]))
    head = HEAD.pack(kept, end, codec.layout if random.random() < 0.95 else bytes(8))
    if not codec.has_block:
        return head + small
    if random.random() < 0.2:
        return head + bytes(LENGTH.size) + small
    sizes = codec.view.levels_ms
    merged = (origin_ms + int(random.integers(0, 450)) * TILE_MS) // sizes[1] * sizes[1]
    larger = []
    for size in sizes[1:]:
        data = records(random, codec, size_ms=size, from_ms=first - 300 * TILE_MS, until_ms=merged, most=40)
        larger.append(LevelTiles(kept_from_ms=int(random.choice([-(1 << 63), origin_ms])), records=data))
    outdated = bool(random.random() < 0.2)
    block = LevelBlock(merged_ms=merged, dirty_ms=0, outdated=outdated, levels=larger, ranges=TileRanges.empty()).packed
    return head + LENGTH.pack(len(block)) + block + small


def world(seed: int, windows: Sequence[Sliding]) -> World:
    """Anything."""
    random = np.random.default_rng(seed)
    codec, origin = TileCodec(view=random_view(random, windows)), int(random.choice([0, -250, 10**7])) * 100 * TILE_MS
    values = [None if random.random() < 0.1 else packed(random, codec, origin) for _ in range(random.integers(0, 5))]
    rows = int(random.integers(0, 12))
    boundary = origin + random.integers(-10, 700, rows) * TILE_MS
    boundary[random.random(rows) < 0.05] = -(1 << 63)
    return World(codec=codec, packed=values, owner=random.integers(-1, len(values), rows), boundary_ms=boundary)


def bits(numbers: NDArray[Any]) -> list[int]:
    """As they are in memory; NaN is NaN."""
    if numbers.dtype.kind == "f":
        numbers = np.where(np.isnan(numbers), np.nan, numbers + 0.0).view(np.int64)
    return [int(number) for number in numbers]


def content(folded: Folded, view: int = 0, names: Sequence[str] | None = None) -> dict[str, Any]:
    """All that is told of one view, as the store's readers see it."""
    found: dict[str, Any] = {name: getattr(folded, name)[view].tolist() for name in _TOLD}
    for name in folded.features if names is None else names:
        values = folded.features[name]
        valid = np.ones(len(values.numbers), dtype=np.bool_) if values.valid is None else values.valid
        found[name] = [number if there else None for number, there in zip(bits(values.numbers), valid.tolist(), strict=True)]
    return found


def compiled(values: Sequence[Packed | None], asked: World) -> Folded:
    """By machine code, where it can."""
    return PackedFolds([asked.codec])([values], owners=asked.owner[np.newaxis], boundaries=asked.boundary_ms[np.newaxis])


def in_numpy(values: Sequence[Packed | None], asked: World) -> Folded:
    """By the reference."""
    return fold_in_numpy(asked.codec, values, owner=asked.owner, boundary_ms=asked.boundary_ms)


def outcome(fold: Callable[[Sequence[Packed | None], World], Folded], values: Sequence[Packed | None], asked: World) -> Any:
    """What is found, or the error's text."""
    try:
        return content(fold(values, asked))
    except DataError as error:
        return str(error)


def assert_alike(given: World, values: Sequence[Packed | None]) -> None:
    """Machine code and numpy say the same."""
    assert outcome(compiled, values, given) == outcome(in_numpy, values, given)


@pytest.mark.slow
@pytest.mark.parametrize("windows", _WINDOWS)
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_machine_code_says_what_numpy_says_in_every_bit(windows: str, seed: int) -> None:
    given = world(seed, _WINDOWS[windows])
    assert given.codec.view.program is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.tiles.packed_fold, "fold_in_numpy", None)  # machine code it is
        compiled(given.packed, given)
    assert_alike(given, given.packed)


@pytest.mark.slow
@pytest.mark.parametrize("windows", _WINDOWS)
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.floats(0, 1), damage=st.sampled_from(["cut", "longer", "length", "swapped", "head"]))
def test_damaged_values_are_refused_in_the_same_words(windows: str, seed: int, cut: float, damage: str) -> None:
    given = world(seed, _WINDOWS[windows])
    assert given.codec.record is not None
    width, values = given.codec.record.itemsize, list(given.packed)
    for number, value in enumerate(values):
        if value is None:
            continue
        place = int(cut * len(value))
        match damage:
            case "cut":
                values[number] = value[:place]
            case "longer":
                values[number] = value + bytes(place % 50)
            case "length" if len(value) >= HEAD.size + width:
                values[number] = value[:-width] + b"\xff" + value[1 - width :]
            case "swapped" if len(value) >= HEAD.size + 2 * width:  # out of order
                values[number] = value[: -2 * width] + value[-width:] + value[-2 * width : -width]
            case "head":
                values[number] = value[:8]
    assert_alike(given, values)


def test_doubles_are_added_in_numpys_order() -> None:
    random = np.random.default_rng(11)
    for many in [*range(300), 1_000, 1_001, 4_097, 65_537, 200_003]:
        numbers = random.normal(size=many) * 10.0 ** random.integers(-10, 10, many)
        assert add(numbers, 0, many) == (np.add.reduceat(numbers, [0])[0] if many else 0.0)


def test_values_in_envelopes_are_read_where_they_are() -> None:
    given = next(found for found in (world(seed, _WINDOWS["hops"]) for seed in range(99)) if len(found.packed) > 2 and None in found.packed)
    assert given.codec.record is not None
    least = HEAD.size + LENGTH.size + given.codec.record.itemsize + 3  # of a value that has a byte more in front of it
    wrapped = [None if value is None else bytes(3 if len(value) + 3 >= least else 2) + value for value in given.packed]
    enveloped = Enveloped(values=wrapped, head=2, longer=np.array([least, 10**9]))
    assert [None if value is None else bytes(value) for value in enveloped] == given.packed
    assert outcome(compiled, enveloped, given) == outcome(in_numpy, given.packed, given)


def _named(view: ViewPlan, prefix: str) -> ViewPlan:
    """The same features under names of their own."""
    return replace(view, features=tuple(replace(each, name=prefix + each.name) for each in view.features))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 3))
def test_views_together_are_the_same_as_each_alone(seed: int) -> None:
    """Also beside one that is left to numpy, and one that has a damaged value."""
    worlds = [world(seed + number, windows) for number, windows in enumerate(_WINDOWS.values())]
    rows = min(len(each.owner) for each in worlds)
    asked = [replace(each, owner=each.owner[:rows], boundary_ms=each.boundary_ms[:rows]) for each in worlds]
    ever = replace(asked[0].codec.view, features=tuple(replace(each, window=Lifetime()) for each in asked[0].codec.view.features))
    asked.insert(1, replace(asked[0], codec=TileCodec(view=ever), packed=[None] * len(asked[0].packed)))
    asked = [replace(each, codec=TileCodec(view=_named(each.codec.view, f"v{number}_"))) for number, each in enumerate(asked)]
    folds = PackedFolds([each.codec for each in asked])
    owners, boundaries = np.stack([each.owner for each in asked]), np.stack([each.boundary_ms for each in asked])
    together = folds([each.packed for each in asked], owners=owners, boundaries=boundaries)
    names = [[feature.name for feature in each.codec.view.features] for each in asked]
    assert [content(together, number, own) for number, own in enumerate(names)] == [outcome(in_numpy, each.packed, each) for each in asked]
    if asked[2].packed:
        asked[2].packed[0] = b"short"
        with pytest.raises(DataError, match="less than its header"):
            folds([each.packed for each in asked], owners=owners, boundaries=boundaries)


class _Doubled(SumPartial):
    """An aggregation of somebody's own."""

    kind = "doubled"

    def merge(self, tiles: Tiles, index: TileIndex, window: WindowTiles, *, condensed: bool) -> Values:
        values = super().merge(tiles, index, window, condensed=condensed)
        return Values(numbers=values.numbers * 2)


class _Named(SumPartial):
    """One that merges as its parent does."""

    kind = "named"


def test_views_that_machine_code_cannot_do_are_left_to_numpy() -> None:
    assert NUMBERS.program is not None
    assert VIEW.program is None  # texts
    ever = replace(NUMBERS, features=tuple(replace(feature, window=Lifetime()) for feature in NUMBERS.features))
    assert ever.program is None
    assert [kind.compiled for kind in (_Named, _Doubled)] == [MergeCode.TOTAL, None]
    total = next(feature for feature in NUMBERS.features if isinstance(feature.partials[0], SumPartial) and feature.finish is VALUE)
    assert _of(total, total.partials[0], VALUE).program is not None
    assert _of(total, total.partials[0], Finish("half", VALUE.values)).program is None
    assert _of(total, _Doubled(name="d", input=total.partials[0].input), VALUE).program is None


def _of(feature: WindowFeature, partial: Any, finish: Finish) -> ViewPlan:
    return replace(NUMBERS, partials=(partial,), features=(replace(feature, partials=(partial,), finish=finish),))
