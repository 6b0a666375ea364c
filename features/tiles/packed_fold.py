"""Packed values of a view in, feature values out: as machine code where the view has a program, else in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain

import numpy as np

from features.columns.block import Block, Columns
from features.columns.values import Bools, Int64s, Values
from features.kernel.fold import fold_counting
from features.kernel.needed import lacking, needed_from_ms
from features.partials.program import Program
from features.tiles.codec import ALL_TIME, Enveloped, Packed, TileCodec

_AS_IT_IS = Enveloped(values=(), head=0, longer=np.empty(0, dtype=np.int64))


@dataclass(frozen=True, kw_only=True)
class Folded:
    """What m rows have of packed values of some views.

    Attributes:
        features: Of all views, in their order.
        tiles: int64[views, m], the tiles in the view's widest window.
        begin_ms: int64[views, m], from when on windows need tiles.
        small_ms: int64[views, m], from when on windows need tiles of the smallest level.
        unseen: bool[views, m], whether there is no value.
        lacking: bool[views, m], whether tiles that windows need were dropped, or were corrected since.
        lacking_small: bool[views, m], whether ones of the smallest level were dropped.
    """

    features: Block
    tiles: Int64s
    begin_ms: Int64s
    small_ms: Int64s
    unseen: Bools
    lacking: Bools
    lacking_small: Bools


_TOLD = ("tiles", "begin_ms", "small_ms", "unseen", "lacking", "lacking_small")
"""What is told of each view beside its features."""


class PackedFolds:
    """Folds packed values of some views, again and again: at once where machine code can."""

    def __init__(self, codecs: Sequence[TileCodec]) -> None:
        """Choose a way for each view; `codecs` are theirs."""
        self.codecs = codecs
        self._columns = [Columns(types={feature.name: feature.type for feature in codec.view.features}) for codec in codecs]
        self._all_columns = Columns(types={}).followed_by(*self._columns)
        self._places = [place for place, codec in enumerate(codecs) if codec.view.program is not None]
        self._programs = [program for codec in codecs if (program := codec.view.program) is not None]
        if self._programs:
            self._arrays = _stacked(self._programs)
            self._layouts = np.array(
                [int.from_bytes(codecs[place].layout, "little", signed=True) for place in self._places], dtype=np.int64
            )
            self._compiled_columns = Columns(types={}).followed_by(*(self._columns[place] for place in self._places))

    def prepare(self) -> None:
        """Have what is compiled at hand, so that no request waits for it."""
        if self._programs:
            nothing = np.empty((len(self.codecs), 0), dtype=np.int64)
            self._compiled([()] * len(self.codecs), nothing, nothing)

    def __call__(self, packed: Sequence[Sequence[Packed | None]], *, owners: Int64s, boundaries: Int64s) -> Folded:
        """The value of every feature for every row.

        Args:
            packed: Of each view k packed values; `None` has no tiles.
            owners: int64[views, m], the packed value of each row; −1 for none.
            boundaries: int64[views, m], the end of its windows.

        Raises:
            DataError: A value is damaged.
        """
        compiled = self._compiled(packed, owners, boundaries) if self._programs else None
        if compiled is not None and len(self._places) == len(self.codecs):
            return compiled
        found, place, first = [], 0, 0
        for number, (codec, columns) in enumerate(zip(self.codecs, self._columns, strict=True)):
            if compiled is not None and number in self._places:
                found.append(_of_view(compiled, place, compiled.features.part(columns, first)))
                place, first = place + 1, first + len(columns.types)
            else:
                found.append(fold_in_numpy(codec, packed[number], owner=owners[number], boundary_ms=boundaries[number]))
        return _together(self._all_columns, found, boundaries.shape[1])

    def _compiled(self, packed: Sequence[Sequence[Packed | None]], owners: Int64s, boundaries: Int64s) -> Folded | None:
        """Of the views that have a program; None where only numpy can tell what is wrong with a value, or put it in order."""
        every = len(self._places) == len(self.codecs)
        values, around = _bare(packed if every else [packed[place] for place in self._places])
        listed = list(chain.from_iterable(values))
        sizes = np.array([-1 if value is None else len(value) for value in listed], dtype=np.int64)
        data = np.frombuffer(b"".join([value for value in listed if value is not None]), dtype=np.uint8)
        views, rows = len(self._places), boundaries.shape[1]
        columns = self._compiled_columns
        bits, valid = np.empty((len(columns.types), rows), dtype=np.int64), np.empty((len(columns.types), rows), dtype=np.bool_)
        told, flags = np.empty((3, views, rows), dtype=np.int64), np.empty((3, views, rows), dtype=np.bool_)
        known = self._code(
            data,
            sizes,
            around.head,
            around.longer,
            np.array([0, *accumulate(map(len, values))], dtype=np.int64),
            owners if every else owners[self._places],
            boundaries if every else boundaries[self._places],
            self._layouts,
            *self._arrays,
            told,
            flags,
            bits,
            bits.view(np.float64),
            valid,
        )
        if not known:
            return None
        return Folded(
            features=Block(columns=columns, bits=bits, valid=valid),
            tiles=told[0],
            begin_ms=told[1],
            small_ms=told[2],
            unseen=flags[0],
            lacking=flags[1],
            lacking_small=flags[2],
        )

    @cached_property
    def _code(self) -> Callable[..., bool]:
        from features.tiles.machine.packed import fold_packed  # numba's second, when it is needed

        return fold_packed


def _of_view(folded: Folded, number: int, features: Block) -> Folded:
    """One of the views; `features` are its own."""
    own = {name: getattr(folded, name)[number : number + 1] for name in _TOLD}
    return Folded(features=features, **own)


def _together(columns: Columns, views: Sequence[Folded], rows: int) -> Folded:
    """All views, one after the other; `columns` are theirs."""
    if not views:
        nothing, none = np.empty((0, rows), dtype=np.int64), np.empty((0, rows), dtype=np.bool_)
        features = Block(columns=columns, bits=nothing, valid=none)
        return Folded(features=features, tiles=nothing, begin_ms=nothing, small_ms=nothing, unseen=none, lacking=none, lacking_small=none)
    told = {name: np.concatenate([getattr(view, name) for view in views]) for name in _TOLD}
    return Folded(features=Block.together(columns, [view.features for view in views]), **told)


def _stacked(programs: Sequence[Program]) -> list[Int64s]:
    """Where each program's part of the arrays begins, and the arrays of all of them, as `fold_packed` takes them."""
    sizes = [[len(each) for each in (of.levels_ms, of.windows, of.spans, of.merges, of.finishes)] for of in programs]
    parts = np.vstack([np.zeros((1, 5), dtype=np.int64), np.cumsum(sizes, axis=0)])
    names = ("levels_ms", "shape", "windows", "spans", "merges", "finishes")
    levels, shapes, *others = ([getattr(program, name) for program in programs] for name in names)
    return [parts, np.concatenate(levels), np.stack(shapes), *map(np.concatenate, others)]


def _bare(packed: Sequence[Sequence[Packed | None]]) -> tuple[Sequence[Sequence[Packed | None]], Enveloped]:
    """Packed values of some views with what is in front of them, and how much that is."""
    alike = [each for each in packed if isinstance(each, Enveloped)]
    return ([each.values for each in alike], alike[0]) if len(alike) == len(packed) else ([list(each) for each in packed], _AS_IT_IS)


def fold_in_numpy(codec: TileCodec, packed: Sequence[Packed | None], *, owner: Int64s, boundary_ms: Int64s) -> Folded:
    """As `PackedFolds`, of one view, whichever.

    Args:
        codec: The view's.
        packed: k packed values.
        owner: int64[m].
        boundary_ms: int64[m].
    """
    view = codec.view
    needed = needed_from_ms(view, boundary_ms)
    begin = np.minimum.reduce(needed)
    since, before = (int(begin.min()), int(boundary_ms.max())) if len(begin) else (0, 0)
    read = codec.unpack(packed, since_ms=ALL_TIME[0] if view.has_lifetime else since, before_ms=before)
    found, tiles = fold_counting(view, read.tiles, owner=owner, boundary_ms=boundary_ms)
    if read.tiles.merged_ms is not None:
        needed = needed_from_ms(view, boundary_ms, np.append(read.tiles.merged_ms, ALL_TIME[0])[owner])
    columns = Columns(types={feature.name: feature.type for feature in view.features})
    values = {name: Values.of(found[name], type_) for name, type_ in columns.types.items()}
    lost = lacking(needed, owner, [read.kept_from_ms, *read.larger_from_ms]) | np.append(read.inexact, False)[owner]
    return Folded(
        features=Block.of(columns, values, len(owner)),
        tiles=tiles[np.newaxis],
        begin_ms=begin[np.newaxis],
        small_ms=needed[0][np.newaxis],
        unseen=np.array([value is None for value in [*packed, None]], dtype=np.bool_)[owner][np.newaxis],
        lacking=lost[np.newaxis],
        lacking_small=lacking(needed[:1], owner, [read.kept_from_ms])[np.newaxis],
    )
