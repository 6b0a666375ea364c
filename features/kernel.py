"""The kernel: folds tiles into window values. One piece of code for the online reader, Feast's on-demand view and Spark.

The result for a row depends only on that row's own tiles, in time order, whatever else is in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.compiler.plan import Finish, Partial, PartialKind, ViewPlan, WindowFeature
from features.entries import finish_maps
from features.values import Bools, Int64s, Values

_CHUNK_ELEMENTS = 1 << 21  # tiles gathered at once: bounds memory, changes no value
_COMPOSITE_LIMIT = 1 << 62


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Tiles of many entities, in any order.

    Attributes:
        owner: int64[n], whose tile it is: any small non-negative number per entity.
        start_ms: int64[n], aligned to the view's tile size.
        columns: Name → values, for every physical column of the view's tiles.
    """

    owner: Int64s
    start_ms: Int64s
    columns: Mapping[str, Values]

    @classmethod
    def of(cls, view: ViewPlan, *, owner: Int64s, start_ms: Int64s, table: pa.Table | pa.RecordBatch) -> Tiles:
        """Read the tile columns of an Arrow table."""
        columns = {column.name: Values.of(table.column(column.name), column.type) for column in view.tile_columns}
        return cls(owner=owner, start_ms=start_ms, columns=columns)


def fold(view: ViewPlan, tiles: Tiles, *, owner: Int64s, boundary_ms: Int64s) -> dict[str, pa.Array[Any]]:
    """The value of every feature for every row.

    Args:
        view: Whose tiles these are.
        tiles: n tiles. Several with one owner and start are merged.
        owner: int64[m], the entity of each row; −1 for none.
        boundary_ms: int64[m], aligned: a window W covers tiles that start in `[boundary − W, boundary)`.

    Returns:
        Feature name → array of m, in the view's order.
    """
    return fold_counting(view, tiles, owner=owner, boundary_ms=boundary_ms)[0]


def fold_counting(view: ViewPlan, tiles: Tiles, *, owner: Int64s, boundary_ms: Int64s) -> tuple[dict[str, pa.Array[Any]], Int64s]:
    """As `fold`, and how many tiles the view's longest window has for every row (int64[m]): 0 where it is empty."""
    index = _Index.of(view, tiles)
    longest = index.ranges(owner, boundary_ms, view.longest_window_ms)
    batches = _batches(longest[1] - longest[0])
    if len(batches) == 1:
        return _fold(view, tiles, index, owner, boundary_ms, longest), longest[1] - longest[0]
    pieces = [_fold(view, tiles, index, owner[rows], boundary_ms[rows], (longest[0][rows], longest[1][rows])) for rows in batches]
    columns = {feature.name: pa.concat_arrays([piece[feature.name] for piece in pieces]) for feature in view.features}
    return columns, longest[1] - longest[0]


@dataclass(frozen=True, kw_only=True)
class _Window:
    """The tiles of one window for a batch of rows, gathered row by row in time order."""

    size: int  # rows
    filled: Int64s  # rows that have any tile
    lengths: Int64s  # tiles of each of them
    offsets: Int64s  # where each begins in `flat`
    flat: Int64s  # positions in time order
    tile: Int64s  # the same as indices of the tiles

    def reduce(self, operation: np.ufunc, numbers: NDArray[Any], empty: float) -> NDArray[Any]:
        """Reduce gathered numbers per row; `empty` for rows without tiles."""
        result = np.full(self.size, empty, dtype=numbers.dtype)
        if len(self.flat):
            result[self.filled] = operation.reduceat(numbers, self.offsets)
        return result

    def any(self, valid: Bools | None) -> Bools:
        """Whether a row has a tile that is valid."""
        if valid is None:
            result = np.zeros(self.size, dtype=np.bool_)
            result[self.filled] = True
            return result
        return np.asarray(self.reduce(np.logical_or, valid[self.tile], 0), dtype=np.bool_)

    def spread(self, per_row: NDArray[Any]) -> NDArray[Any]:
        """A number per row, repeated for each of its tiles."""
        return np.repeat(per_row[self.filled], self.lengths)


@dataclass(frozen=True, kw_only=True)
class _Index:
    """Tiles in order of (owner, start), searchable with one int64."""

    view: ViewPlan
    composite: Int64s  # sorted
    order: Int64s | None  # tile indices in that order; None when they came sorted
    distinct: bool  # no two tiles share owner and start
    first: int
    last: int
    span: int
    starts: Int64s | None  # distinct starts, where first..last is too wide to count tiles

    @classmethod
    def of(cls, view: ViewPlan, tiles: Tiles) -> _Index:
        starts: Int64s | None = None
        if not len(tiles.start_ms):
            empty = np.empty(0, dtype=np.int64)
            return cls(view=view, composite=empty, order=None, distinct=True, first=0, last=0, span=1, starts=None)
        first, last = int(tiles.start_ms.min()), int(tiles.start_ms.max())
        span = (last - first) // view.tile_ms + 2
        if (int(tiles.owner.max()) + 2) * span < _COMPOSITE_LIMIT:
            position = (tiles.start_ms - first) // view.tile_ms
        else:
            starts = np.unique(tiles.start_ms)
            span = len(starts) + 1
            position = np.searchsorted(starts, tiles.start_ms)
        composite = tiles.owner * span + position
        step = np.diff(composite)
        order = None
        if np.any(step < 0):
            order = np.argsort(composite, kind="stable")
            composite = composite[order]
            step = np.diff(composite)
        distinct = bool(np.all(step > 0))
        return cls(view=view, composite=composite, order=order, distinct=distinct, first=first, last=last, span=span, starts=starts)

    def ranges(self, owner: Int64s, boundary_ms: Int64s, window_ms: int) -> tuple[Int64s, Int64s]:
        """Where each row's window begins and ends among the sorted tiles."""
        end = np.minimum(np.maximum(boundary_ms, self.first), self.last + self.view.tile_ms + window_ms)
        base = owner * self.span
        low = np.searchsorted(self.composite, base + self._position(end - window_ms))
        high = np.searchsorted(self.composite, base + self._position(end))
        return low, high

    def _position(self, time_ms: Int64s) -> Int64s:
        if self.starts is not None:
            return np.searchsorted(self.starts, time_ms)
        return np.minimum(np.maximum(-((self.first - time_ms) // self.view.tile_ms), 0), self.span - 1)

    def window(self, low: Int64s, high: Int64s) -> _Window:
        """Gather the tiles of the given ranges."""
        size = len(low)
        lengths = high - low
        filled = np.flatnonzero(lengths)
        low, lengths = low[filled], lengths[filled]
        offsets = np.cumsum(lengths) - lengths
        flat = np.repeat(low - offsets, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)
        tile = flat if self.order is None else self.order[flat]
        return _Window(size=size, filled=filled, lengths=lengths, offsets=offsets, flat=flat, tile=tile)


def _batches(lengths: Int64s) -> list[slice]:
    """Slices of rows whose windows together stay within the memory bound; one slice for no rows."""
    ends = np.cumsum(lengths)
    if not len(ends) or ends[-1] <= _CHUNK_ELEMENTS:
        return [slice(0, len(ends))]
    batches, begin = [], 0
    while begin < len(ends):
        done = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + _CHUNK_ELEMENTS, side="right")))
        batches.append(slice(begin, end))
        begin = end
    return batches


@dataclass(frozen=True, kw_only=True)
class _Moments:
    """Merged moments of each row."""

    count: Int64s
    squares: NDArray[np.float64]  # Σ(x − mean)²


_Merged = Values | _Moments


def _fold(
    view: ViewPlan, tiles: Tiles, index: _Index, owner: Int64s, boundary_ms: Int64s, longest: tuple[Int64s, Int64s]
) -> dict[str, pa.Array[Any]]:
    windows = {view.longest_window_ms: index.window(*longest)}
    for feature in view.features:
        if feature.window_ms not in windows:
            windows[feature.window_ms] = index.window(*index.ranges(owner, boundary_ms, feature.window_ms))
    merged: dict[tuple[str, int], _Merged] = {}
    result: dict[str, pa.Array[Any]] = {}
    with np.errstate(all="ignore"):
        for feature in view.features:
            if feature.name in result:
                continue
            if feature.partials[0].kind.is_map:
                result |= _maps(view, feature, tiles, windows[feature.window_ms])
                continue
            for partial in feature.partials:
                key = (partial.name, feature.window_ms)
                if key not in merged:
                    merged[key] = _merge(partial, tiles, index, windows[feature.window_ms])
            result[feature.name] = _finish(feature, [merged[p.name, feature.window_ms] for p in feature.partials])
    return {feature.name: result[feature.name] for feature in view.features}


def _maps(view: ViewPlan, feature: WindowFeature, tiles: Tiles, window: _Window) -> dict[str, pa.Array[Any]]:
    """The features that have this one's partial and window, from one merge."""
    (partial,) = feature.partials
    alike = [each for each in view.features if each.partials == feature.partials and each.window_ms == feature.window_ms]
    row = window.spread(np.arange(window.size, dtype=np.int64))
    return finish_maps(partial, alike, tiles.columns[partial.name], rows=window.size, row=row, tile=window.tile)


def _merge(partial: Partial, tiles: Tiles, index: _Index, window: _Window) -> _Merged:
    match partial.kind:
        case PartialKind.COUNT | PartialKind.SUM:
            return Values(numbers=window.reduce(np.add, tiles.columns[partial.name].filled(0)[window.tile], 0))
        case PartialKind.MIN:
            return _extreme(tiles.columns[partial.name], window, largest=False)
        case PartialKind.MAX:
            return _extreme(tiles.columns[partial.name], window, largest=True)
        case PartialKind.FIRST | PartialKind.LAST:
            return _edge(partial, tiles, index, window)
        case PartialKind.MOMENTS:
            return _moments(partial, tiles, window)
        case _:
            raise AssertionError(f"{partial.kind} is merged as a map")


def _extreme(values: Values, window: _Window, *, largest: bool) -> Values:
    """The smallest or largest; NaN, where a field may hold it, is larger than every number."""
    operation: np.ufunc = np.maximum if largest else np.fmin
    identity: float | int = -np.inf if largest else np.nan
    if values.numbers.dtype.kind != "f":
        limits = np.iinfo(values.numbers.dtype)
        identity = limits.min if largest else limits.max
    numbers = window.reduce(operation, values.filled(identity)[window.tile], identity)
    return _present(numbers, window.any(values.valid), values.words)


def _edge(partial: Partial, tiles: Tiles, index: _Index, window: _Window) -> Values:
    """First: the smallest (time, tie, value). Last: the largest. Tiles in time order decide by position unless two share a start."""
    values, at = tiles.columns[partial.name], tiles.columns[f"{partial.name}__at"]
    last = partial.kind is PartialKind.LAST
    rank, by_rank = (window.flat, index.order) if index.distinct else _ranks(partial, tiles, window)
    none = -1 if last else len(tiles.start_ms)
    if at.valid is not None:
        rank = np.where(at.valid[window.tile], rank, none)
    best = window.reduce(np.maximum if last else np.minimum, rank, none)
    found = best != none
    best = np.where(found, best, 0)
    if not len(tiles.start_ms):
        numbers = np.zeros(window.size, dtype=values.numbers.dtype)
    else:
        numbers = values.numbers[best if by_rank is None else by_rank[best]]
    return _present(numbers, found, values.words)


def _ranks(partial: Partial, tiles: Tiles, window: _Window) -> tuple[Int64s, Int64s]:
    """The rank of each gathered tile by (time, tie with null smallest, value), and the tile of each rank."""
    keys = [tiles.columns[partial.name].numbers]
    if partial.tie is not None:
        tie = tiles.columns[f"{partial.name}__tie"]
        keys += [tie.filled(0), np.ones(len(tie.numbers), np.bool_) if tie.valid is None else tie.valid]
    by_rank = np.lexsort((*keys, tiles.columns[f"{partial.name}__at"].numbers))
    rank = np.empty_like(by_rank)
    rank[by_rank] = np.arange(len(by_rank))
    return rank[window.tile], by_rank


def _moments(partial: Partial, tiles: Tiles, window: _Window) -> _Moments:
    """Merge moments about each tile's pivot into moments about the pivot of the row's first tile.

    With d = pivot − P: Σ(x − P) = s1 + n·d and Σ(x − P)² = s2 + 2·d·s1 + n·d², so nothing large is ever subtracted from
    something large unless the data themselves lie that far apart. After Chan, Golub, LeVeque (1979).
    """
    count = tiles.columns[f"{partial.name}__n"].filled(0)[window.tile]
    used = count > 0
    gathered = (tiles.columns[f"{partial.name}__{name}"].filled(0)[window.tile] for name in ("pivot", "s1", "s2"))
    pivot, s1, s2 = (np.where(used, numbers, 0.0) for numbers in gathered)
    first = window.reduce(np.minimum, np.where(used, np.arange(len(used)), len(used)), len(used))
    base = np.append(pivot, 0.0)[first]
    shift = np.where(used, pivot - window.spread(base), 0.0)
    total = window.reduce(np.add, count, 0)
    sums = window.reduce(np.add, s1 + count * shift, 0.0)
    squares = window.reduce(np.add, s2 + 2 * shift * s1 + count * shift * shift, 0.0)
    centred = np.maximum(squares - sums * sums / np.maximum(total, 1), 0.0)
    beyond = ~np.isfinite(centred) & ~np.isnan(sums)  # the spread's square is beyond a double
    return _Moments(count=total, squares=np.where(beyond, np.inf, centred))


def _finish(feature: WindowFeature, merged: Sequence[_Merged]) -> pa.Array[Any]:
    if feature.finish is Finish.VALUE:
        (values,) = merged
        assert isinstance(values, Values)
        return values.arrow(feature.type)
    if feature.finish in (Finish.MEAN, Finish.SHARE):
        part, count = merged
        assert isinstance(part, Values)
        assert isinstance(count, Values)
        return _present(part.numbers / np.maximum(count.numbers, 1), count.numbers > 0, None).arrow(feature.type)
    (moments,) = merged
    assert isinstance(moments, _Moments)
    variance = moments.squares / np.maximum(moments.count - 1, 1)
    numbers = np.sqrt(variance) if feature.finish is Finish.STDDEV else variance
    return _present(numbers, moments.count > 1, None).arrow(feature.type)


def _present(numbers: NDArray[Any], found: Bools, words: pa.Array[Any] | None) -> Values:
    """Values with null where nothing was found."""
    if found.all():
        return Values(numbers=numbers, words=words)
    return Values(numbers=np.where(found, numbers, np.zeros((), numbers.dtype)), valid=found, words=words)
