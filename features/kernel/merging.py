"""How partials of one kind merge, row by row: the mathematics of `features.kernel.fold`, and of `condense`, which makes one tile of many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.kernel.map_partials import merge_maps
from features.kernel.values import Bools, Int64s, Values
from features.plan import Partial, PartialKind, ViewPlan
from features.tiles.table import TileIndex, Tiles, Window

_ALWAYS = np.iinfo(np.int64).max


def condense(view: ViewPlan, tiles: Tiles, *, owners: int) -> dict[str, Values]:
    """All tiles of each owner merged into one: what a `Lifetime` feature need keep of them.

    Args:
        view: Whose tiles.
        tiles: Of owners 0, 1, … below `owners`, each with one at least; a base may hold tiles from before, between and after the others.
        owners: How many.

    Returns:
        For every physical column of the view's tiles, the values of all owners.
    """
    index = replace(TileIndex.of(view, tiles), distinct=False)  # so that times decide what is first and last, not places
    window = index.window(*index.ranges(np.arange(owners), np.full(owners, _ALWAYS), None))
    columns: dict[str, Values] = {}
    with np.errstate(all="ignore"):
        for partial in view.partials:
            columns |= _condensed(partial, tiles, index, window)
    return columns


def _condensed(partial: Partial, tiles: Tiles, index: TileIndex, window: Window) -> dict[str, Values]:
    if partial.kind.is_map:
        column, entries = tiles.columns[partial.name], tiles.entries(partial.name)
        texts = merge_maps(partial, column, entries, rows=window.size, row=window.row, tile=window.tile)
        return {partial.name: Values.of(texts, partial.type)}
    match partial.kind:
        case PartialKind.FIRST | PartialKind.LAST:
            best, found = edge(partial, tiles, index, window)
            return {column.name: _taken(tiles.columns[column.name], best, found) for column in partial.columns}
        case PartialKind.MOMENTS:
            return _moments_columns(partial, moments(partial, tiles, window, centred=True))
        case PartialKind.SUM:
            values = sums(partial, tiles, window)
            return {partial.name: present(values.numbers, window.any(tiles.columns[partial.name].valid), None)}
        case _:
            return {partial.name: merged(partial, tiles, index, window)}


def merged(partial: Partial, tiles: Tiles, index: TileIndex, window: Window) -> Values:
    """The merged value of a partial that is one column, or whose value is."""
    match partial.kind:
        case PartialKind.COUNT | PartialKind.SUM:
            return sums(partial, tiles, window)
        case PartialKind.MIN | PartialKind.MAX:
            return _extreme(tiles.columns[partial.name], window, largest=partial.kind is PartialKind.MAX)
        case PartialKind.FIRST | PartialKind.LAST:
            best, found = edge(partial, tiles, index, window)
            return _taken(tiles.columns[partial.name], best, found)
        case _:
            raise AssertionError(f"{partial.kind} has no value of its own")


def sums(partial: Partial, tiles: Tiles, window: Window) -> Values:
    """Counts and sums added up; 0 of nothing."""
    return Values(numbers=window.reduce(np.add, tiles.columns[partial.name].filled(0)[window.tile], 0))


def _extreme(values: Values, window: Window, *, largest: bool) -> Values:
    """The smallest or largest; NaN, where a field may hold it, is larger than every number."""
    operation: np.ufunc = np.maximum if largest else np.fmin
    identity: float | int = -np.inf if largest else np.nan
    if values.numbers.dtype.kind != "f":
        limits = np.iinfo(values.numbers.dtype)
        identity = limits.min if largest else limits.max
    numbers = window.reduce(operation, values.filled(identity)[window.tile], identity)
    return present(numbers, window.any(values.valid), values.words)


def edge(partial: Partial, tiles: Tiles, index: TileIndex, window: Window) -> tuple[Int64s, Bools]:
    """The tile that has each row's first or last, and whether there is one.

    First: the smallest (time, tie, value). Last: the largest. Tiles in time order decide by position unless two share a start.
    """
    at = tiles.columns[f"{partial.name}__at"]
    last = partial.kind is PartialKind.LAST
    rank, by_rank = (window.flat, index.order) if index.distinct else _ranks(partial, tiles, window)
    none = -1 if last else len(tiles.start_ms)
    if at.valid is not None:
        rank = np.where(at.valid[window.tile], rank, none)
    best = window.reduce(np.maximum if last else np.minimum, rank, none)
    found = best != none
    best = np.where(found, best, 0)
    if by_rank is not None and len(by_rank):
        best = by_rank[best]
    return best, found


def _taken(values: Values, tile: Int64s, found: Bools) -> Values:
    """The values of some tiles, null where none was found."""
    if not len(values.numbers):
        return present(np.zeros(len(tile), dtype=values.numbers.dtype), found, values.words)
    return present(values.numbers[tile], found if values.valid is None else found & values.valid[tile], values.words)


def _ranks(partial: Partial, tiles: Tiles, window: Window) -> tuple[Int64s, Int64s]:
    """The rank of each gathered tile by (time, tie with null smallest, value), and the tile of each rank."""
    keys = [tiles.columns[partial.name].numbers]
    if partial.tie is not None:
        tie = tiles.columns[f"{partial.name}__tie"]
        keys += [tie.filled(0), np.ones(len(tie.numbers), np.bool_) if tie.valid is None else tie.valid]
    by_rank = np.lexsort((*keys, tiles.columns[f"{partial.name}__at"].numbers))
    rank = np.empty_like(by_rank)
    rank[by_rank] = np.arange(len(by_rank))
    return rank[window.tile], by_rank


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Merged moments of each row, about a pivot."""

    count: Int64s
    pivot: NDArray[np.float64]
    s1: NDArray[np.float64]  # Σ(x − pivot)
    s2: NDArray[np.float64]  # Σ(x − pivot)²

    @property
    def squares(self) -> NDArray[np.float64]:
        """Σ(x − mean)²."""
        centred = np.maximum(self.s2 - self.s1 * self.s1 / np.maximum(self.count, 1), 0.0)
        beyond = ~np.isfinite(centred) & ~np.isnan(self.s1)  # the spread's square is beyond a double
        return np.where(beyond, np.inf, centred)


def moments(partial: Partial, tiles: Tiles, window: Window, *, centred: bool = False) -> Moments:
    """Merge moments about each tile's pivot into moments about the pivot of the row's first tile.

    With d = pivot − P: Σ(x − P) = s1 + n·d and Σ(x − P)² = s2 + 2·d·s1 + n·d², so nothing large is ever subtracted from
    something large unless the data themselves lie that far apart. After Chan, Golub, LeVeque (1979).

    Args:
        partial: The partial.
        tiles: The tiles.
        window: Which of them each row has.
        centred: Merge about the row's own mean instead, as all of time needs: its first values may lie far from the many that follow.
    """
    count = tiles.columns[f"{partial.name}__n"].filled(0)[window.tile]
    used = count > 0
    gathered = (tiles.columns[f"{partial.name}__{name}"].filled(0)[window.tile] for name in ("pivot", "s1", "s2"))
    pivot, s1, s2 = (np.where(used, numbers, 0.0) for numbers in gathered)
    first = window.reduce(np.minimum, np.where(used, np.arange(len(used)), len(used)), len(used))
    base = np.append(pivot, 0.0)[first]
    shift = np.where(used, pivot - window.spread(base), 0.0)
    total = window.reduce(np.add, count, 0)
    if centred:
        mean = base + window.reduce(np.add, s1 + count * shift, 0.0) / np.maximum(total, 1)
        base = np.where(np.isfinite(mean), mean, base)
        shift = np.where(used, pivot - window.spread(base), 0.0)
    return Moments(
        count=total,
        pivot=base,
        s1=window.reduce(np.add, s1 + count * shift, 0.0),
        s2=window.reduce(np.add, s2 + 2 * shift * s1 + count * shift * shift, 0.0),
    )


def _moments_columns(partial: Partial, of: Moments) -> dict[str, Values]:
    there = of.count > 0
    parts = {"pivot": of.pivot, "s1": of.s1, "s2": of.s2}
    return {f"{partial.name}__n": Values(numbers=of.count)} | {f"{partial.name}__{n}": present(v, there, None) for n, v in parts.items()}


def present(numbers: NDArray[Any], found: Bools, words: pa.Array[Any] | None) -> Values:
    """Values with null where nothing was found."""
    if found.all():
        return Values(numbers=numbers, words=words)
    return Values(numbers=np.where(found, numbers, np.zeros((), numbers.dtype)), valid=found, words=words)
