"""The trees of one file as they are asked: as machine code where that gives LightGBM's scores in every bit, by LightGBM itself where it does not."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Protocol

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from inference.boosters.flat import CATEGORY, FlatTrees, UnsupportedError
from inference.boosters.trees import Link, bounds, raw_score
from schemas.errors import SettingError

_PROOF_ROWS = 256
_Floats = NDArray[np.float64]


class Ensemble(Protocol):
    """All trees of a file. Not to be shared by threads, nor taken over a fork."""

    @property
    def outputs(self) -> int:
        """Scores of a row: 1, or as many as there are classes."""

    @property
    def iterations(self) -> int:
        """Each is a tree for every output."""

    @property
    def link(self) -> Link:
        """What follows the last tree. Raises SettingError of an objective that cannot be cut."""

    @property
    def asked_of_lightgbm(self) -> str | None:
        """Why LightGBM is asked; None where its trees are machine code."""

    def raw(self, matrix: _Floats, *, first: int = 0, count: int = -1) -> _Floats:
        """The sum over some iterations' trees, all from the first by default: float64[rows, features] → float64[rows, outputs]."""

    def scores(self, matrix: _Floats) -> _Floats:
        """What `Booster.predict` gives: float64[rows, features] → float64[rows, outputs]."""


@dataclass(frozen=True, kw_only=True)
class LightGbm:
    """Trees that LightGBM is asked for, by one thread: more make a small batch a hundred times slower.

    Attributes:
        booster: As it is loaded from its file.
        why: It is.
    """

    booster: lgb.Booster = field(repr=False)
    why: str

    @property
    def outputs(self) -> int:
        """As of `Ensemble`."""
        return int(self.booster.num_model_per_iteration())

    @property
    def iterations(self) -> int:
        """As of `Ensemble`."""
        return int(self.booster.current_iteration())

    @cached_property
    def link(self) -> Link:
        """As of `Ensemble`."""
        return Link.of(self.booster)

    @property
    def asked_of_lightgbm(self) -> str | None:
        """As of `Ensemble`."""
        return self.why

    def raw(self, matrix: _Floats, *, first: int = 0, count: int = -1) -> _Floats:
        """As of `Ensemble`."""
        return raw_score(self.booster, matrix, first=first, count=count) if len(matrix) else np.empty((0, self.outputs))

    def scores(self, matrix: _Floats) -> _Floats:
        """As of `Ensemble`."""
        if not len(matrix):
            return np.empty((0, self.outputs))
        return np.asarray(self.booster.predict(matrix, num_threads=1), dtype=np.float64).reshape(len(matrix), -1)


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """Trees that machine code walks.

    Attributes:
        flat: The trees.
        link: What follows the last.
    """

    flat: FlatTrees
    link: Link

    @property
    def outputs(self) -> int:
        """As of `Ensemble`."""
        return self.flat.outputs

    @property
    def iterations(self) -> int:
        """As of `Ensemble`."""
        return self.flat.iterations

    @property
    def asked_of_lightgbm(self) -> str | None:
        """As of `Ensemble`."""
        return None

    def raw(self, matrix: _Floats, *, first: int = 0, count: int = -1) -> _Floats:
        """As of `Ensemble`."""
        from inference.boosters import kernel  # numba's import takes a second; whoever made these trees has paid it

        if matrix.shape[1] != self.flat.features:
            raise ValueError(f"{matrix.shape[1]} columns, the trees have {self.flat.features}")
        end = self.iterations if count < 0 else min(first + count, self.iterations)
        total = np.zeros((len(matrix), self.outputs))
        flat = self.flat
        kernel.add_trees(
            np.require(matrix, np.float64, ["C", "W"]),
            flat.source,
            flat.kind,
            flat.first_category,
            flat.threshold,
            flat.link,
            flat.value,
            flat.root,
            flat.categorical,
            flat.set_begin,
            flat.set_end,
            flat.words,
            first * self.outputs,
            end * self.outputs,
            total,
        )
        return total

    def scores(self, matrix: _Floats) -> _Floats:
        """As of `Ensemble`."""
        from inference.boosters import kernel

        sums = self.raw(matrix)
        kernel.convert(sums, self.link.transform, self.link.steepness, float(self.link.average_over))
        return sums


def predict(trees: Ensemble, matrix: _Floats, stages: int = 1) -> _Floats:
    """The scores of every row, float64[rows, outputs].

    Args:
        trees: Of a whole model.
        matrix: float64[rows, features].
        stages: How many its trees are cut into where they are asked apart; the scores are the same in every bit.
    """
    return by_stages(trees, matrix, stages) if stages > 1 else trees.scores(matrix)


def by_stages(trees: Ensemble, matrix: _Floats, stages: int) -> _Floats:
    """What the stages of a whole model give together, in one process: in every bit what they give apart, float64[rows, outputs]."""
    raw = np.zeros((len(matrix), trees.outputs))
    for first, count in bounds(trees.iterations, stages):
        if count:
            raw += trees.raw(matrix, first=first, count=count)
    return trees.link.score(raw)


def ensemble(booster: lgb.Booster, where: object) -> Ensemble:
    """The trees of a booster that was loaded from its file: machine code, once it has given LightGBM's bits for rows about its own thresholds.

    Args:
        booster: LightGBM's; not held where it is not asked.
        where: Its file, for the log, which says why LightGBM is asked where it is.
    """
    try:
        compiled = Compiled(flat=FlatTrees.of(booster.model_to_string(num_iteration=-1)), link=Link.of(booster))
        _prove(compiled, LightGbm(booster=booster, why=""))
    except UnsupportedError as lacking:
        why = str(lacking)
    except SettingError as unknown:
        why = str(unknown).partition(":")[0]  # the objective
    else:
        return compiled
    _tell(str(where), why)
    return LightGbm(booster=booster, why=why)


@cache
def _tell(where: str, why: str) -> None:
    """Once, however often a shard is loaded."""
    logging.getLogger("tidemark").warning("%s: LightGBM is asked for its scores, not machine code: %s", where, why)


def _prove(compiled: Compiled, reference: Ensemble) -> None:
    """Raises UnsupportedError where sums or scores differ in a bit."""
    rows = _about(compiled.flat)
    if not all(_same(ours(rows), theirs(rows)) for ours, theirs in ((compiled.raw, reference.raw), (compiled.scores, reference.scores))):
        raise UnsupportedError("machine code gives other scores here")


def _same(one: _Floats, other: _Floats) -> bool:
    return one.shape == other.shape and np.array_equal(one.view(np.uint64), other.view(np.uint64))


def _about(flat: FlatTrees) -> _Floats:
    """Rows whose values are thresholds of their features, the next numbers to them, numbers of sets, and what is special; float64[256, features]."""
    random = np.random.default_rng(0)
    special = np.array([np.nan, 0.0, -0.0, 1e-36, -1e-300, np.inf, -np.inf, 1e300, -1.0, 2.5])
    rows = random.choice(special, (_PROOF_ROWS, flat.features))
    splits = np.flatnonzero(np.isfinite(flat.threshold))
    column = (flat.link[splits] & np.uint64(0xFFFF_FFFF)).astype(np.int64)
    most = 32 * int((flat.set_end - flat.set_begin).max(initial=0)) + 2
    for number, feature in enumerate(flat.source.tolist()):
        known = flat.threshold[splits[column == number]]
        if flat.kind[number] == CATEGORY:
            known = np.arange(-1.0, most)
        if len(known):
            chosen = random.choice(known, _PROOF_ROWS)
            near = np.nextafter(chosen, random.choice([-np.inf, np.inf], _PROOF_ROWS))
            kept = random.random(_PROOF_ROWS)
            rows[:, feature] = np.where(kept < 0.4, chosen, np.where(kept < 0.8, near, rows[:, feature]))
    return rows
