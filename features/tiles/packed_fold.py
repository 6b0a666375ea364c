"""Packed values of a view in, feature values out: as machine code where the view has a program, else in numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from features.columns.values import Bools, Int64s, Values
from features.kernel.fold import fold_counting
from features.kernel.needed import lacking, needed_from_ms
from features.partials.program import Program
from features.tiles.codec import ALL_TIME, Enveloped, Packed, TileCodec
from schemas.types import DataType

_AS_IT_IS = Enveloped(values=(), head=0, longer=np.empty(0, dtype=np.int64))


@dataclass(frozen=True, kw_only=True)
class Folded:
    """What m rows have of packed values.

    Attributes:
        values: Feature → m values, in the view's order.
        tiles: int64[m], the tiles in the view's widest window.
        begin_ms: int64[m], from when on windows need tiles.
        small_ms: int64[m], from when on windows need tiles of the smallest level.
        unseen: bool[m], whether there is no value.
        lacking: bool[m], whether tiles that windows need were dropped, or were corrected since.
        lacking_small: bool[m], whether ones of the smallest level were dropped.
    """

    values: Mapping[str, Values]
    tiles: Int64s
    begin_ms: Int64s
    small_ms: Int64s
    unseen: Bools
    lacking: Bools
    lacking_small: Bools


@dataclass(frozen=True, kw_only=True, eq=False)
class ValuesInRows(Mapping[str, Values]):
    """Features that machine code has written, looked at one by one.

    Attributes:
        program: Of their view.
        out: int64[features, m].
        out_doubles: The same memory.
        valid: bool[features, m].
    """

    program: Program
    out: Int64s
    out_doubles: NDArray[np.float64]
    valid: Bools

    def __getitem__(self, name: str) -> Values:
        row, type_ = self.program.rows[name]
        if type_ is DataType.FLOAT64:
            return Values(numbers=self.out_doubles[row], valid=self.valid[row])
        return Values(numbers=self.out[row] if type_ is not DataType.BOOLEAN else self.out[row].astype(np.uint8), valid=self.valid[row])

    def __iter__(self) -> Iterator[str]:
        return iter(self.program.rows)

    def __len__(self) -> int:
        return len(self.program.rows)


class PackedFolds:
    """Folds packed values of some views, again and again: at once where machine code can."""

    def __init__(self, codecs: Sequence[TileCodec]) -> None:
        """Choose a way for each view; `codecs` are theirs."""
        self.codecs = codecs
        self._places = [place for place, codec in enumerate(codecs) if codec.view.program is not None]
        self._programs = [program for codec in codecs if (program := codec.view.program) is not None]
        if self._programs:
            self._arrays = _stacked(self._programs)
            self._layouts = np.array(
                [int.from_bytes(codecs[place].layout, "little", signed=True) for place in self._places], dtype=np.int64
            )
            self._height = 3 * len(self._programs) + sum(len(program.features) for program in self._programs)

    def prepare(self) -> None:
        """Have what is compiled at hand, so that no request waits for it."""
        if self._programs:
            nothing = np.empty(0, dtype=np.int64)
            self._compiled([()] * len(self.codecs), [nothing] * len(self.codecs), np.empty((len(self.codecs), 0), dtype=np.int64))

    def __call__(self, packed: Sequence[Sequence[Packed | None]], *, owners: Sequence[Int64s], boundaries: Int64s) -> list[Folded]:
        """The value of every feature for every row.

        Args:
            packed: Of each view k packed values; `None` has no tiles.
            owners: Of each view int64[m], the packed value of each row; −1 for none.
            boundaries: int64[views, m], the end of its windows.

        Returns:
            Of each view.

        Raises:
            DataError: A value is damaged.
        """
        found: list[Folded | None] = [None] * len(packed)
        if self._programs:
            for place, folded in zip(self._places, self._compiled(packed, owners, boundaries), strict=False):
                found[place] = folded
        return [
            fold_in_numpy(codec, values, owner=owner, boundary_ms=boundary) if folded is None else folded
            for folded, codec, values, owner, boundary in zip(found, self.codecs, packed, owners, boundaries, strict=True)
        ]

    def _compiled(self, packed: Sequence[Sequence[Packed | None]], owners: Sequence[Int64s], boundaries: Int64s) -> list[Folded]:
        """Of the views that have a program; nothing where only numpy can tell what is wrong with a value, or put it in order."""
        places = self._places
        values, around = _bare([packed[place] for place in places])
        every = list(chain.from_iterable(values))
        sizes = np.array([-1 if value is None else len(value) for value in every], dtype=np.int64)
        data = np.frombuffer(b"".join([value for value in every if value is not None]), dtype=np.uint8)
        rows = boundaries.shape[1]
        out = np.empty((self._height, rows), dtype=np.int64)
        doubles, flags = out.view(np.float64), np.empty(out.shape, dtype=np.bool_)
        known = self._code(
            data,
            sizes,
            around.head,
            around.longer,
            np.array([0, *accumulate(map(len, values))], dtype=np.int64),
            np.concatenate([owners[place] for place in places]).reshape(len(places), rows),
            boundaries if len(places) == len(packed) else boundaries[places],
            self._layouts,
            *self._arrays,
            out,
            doubles,
            flags,
        )
        found, at = [], 0
        for program in self._programs if known else ():
            end = at + 3 + len(program.features)
            tiles, begin, small = out[at : at + 3]
            unseen, lost, lost_small = flags[at : at + 3]
            features = ValuesInRows(program=program, out=out[at + 3 : end], out_doubles=doubles[at + 3 : end], valid=flags[at + 3 : end])
            found.append(
                Folded(values=features, tiles=tiles, begin_ms=begin, small_ms=small, unseen=unseen, lacking=lost, lacking_small=lost_small)
            )
            at = end
        return found

    @cached_property
    def _code(self) -> Callable[..., bool]:
        from features.tiles.compiled import fold_packed  # numba's second, when it is needed

        return fold_packed


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
    """As `PackedFolds`, of any view."""
    view = codec.view
    needed = needed_from_ms(view, boundary_ms)
    begin = np.minimum.reduce(needed)
    since, before = (int(begin.min()), int(boundary_ms.max())) if len(begin) else (0, 0)
    read = codec.unpack(packed, since_ms=ALL_TIME[0] if view.has_lifetime else since, before_ms=before)
    columns, tiles = fold_counting(view, read.tiles, owner=owner, boundary_ms=boundary_ms)
    if read.tiles.merged_ms is not None:
        needed = needed_from_ms(view, boundary_ms, np.append(read.tiles.merged_ms, ALL_TIME[0])[owner])
    return Folded(
        values={feature.name: Values.of(columns[feature.name], feature.type) for feature in view.features},
        tiles=tiles,
        begin_ms=begin,
        small_ms=needed[0],
        unseen=np.array([value is None for value in [*packed, None]], dtype=np.bool_)[owner],
        lacking=lacking(needed, owner, [read.kept_from_ms, *read.larger_from_ms]) | np.append(read.inexact, False)[owner],
        lacking_small=lacking(needed[:1], owner, [read.kept_from_ms]),
    )
