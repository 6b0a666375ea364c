"""A LightGBM model's trees as flat arrays, which `inference.boosters.kernel` walks: its text ─▶ splits and leaves ─▶ nodes in the order of their levels.

What a split does with missing values is moved into the columns: a feature is a column for each way that its splits see it, without NaN, so that every
split of numbers is one comparison. The rules are those of Tree::Decision in include/LightGBM/tree.h (LightGBM 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLAIN, NAN_LEFT, NAN_RIGHT, ZERO_LEFT, ZERO_RIGHT, IS_NAN, IS_ZERO, CATEGORY = range(8)
"""How a split sees a value: NaN as 0; NaN to one side; zero and NaN to one side; whether it is NaN; whether zero or NaN; as a number in a set."""

_VERSION = "v4"
_IS_CATEGORICAL, _DEFAULT_LEFT, _MISSING_SHIFT = 1, 2, 2  # bits of a decision type
_KINDS = np.array([[PLAIN, PLAIN], [ZERO_RIGHT, ZERO_LEFT], [NAN_RIGHT, NAN_LEFT]], dtype=np.int64)  # missing type, default left
_SPLITS = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_UNREAD = {"shrinkage", "split_gain", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count"}
_FIELDS = {*_SPLITS, *_UNREAD, "num_leaves", "num_cat", "cat_boundaries", "cat_threshold", "leaf_value", "is_linear"}
_LONGEST = 1 << 32  # nodes and columns are numbered by 32 bits

_Floats = NDArray[np.float64]
_Wholes = NDArray[np.int64]


class UnsupportedError(Exception):
    """What a model has that only LightGBM can ask."""


@dataclass(frozen=True, kw_only=True)
class FlatTrees:
    """Trees, one after the other, each from its root level by level; a split's children are neighbours, and a leaf leads to itself.

    Attributes:
        features: Columns of the matrix that is asked about.
        outputs: Scores of a row; tree t adds to score t modulo these.
        source: int64[columns], of which feature each column is.
        kind: int64[columns], how it is seen there; those of categories are the last.
        first_category: Which column is the first of those.
        threshold: float64[nodes], left is up to it; of categories the number of the set that leads left; infinite of a leaf.
        link: uint64[nodes], the left child above, the column in the lower 32 bits.
        value: float64[nodes], of a leaf.
        root: int64[trees].
        categorical: bool[trees], whether it has a split of categories.
        set_begin: int64[sets], where each begins among the words.
        set_end: int64[sets].
        words: uint32[words], a bit for each number that is in a set.
    """

    features: int
    outputs: int
    source: _Wholes
    kind: _Wholes
    first_category: int
    threshold: _Floats = field(repr=False)
    link: NDArray[np.uint64] = field(repr=False)
    value: _Floats = field(repr=False)
    root: _Wholes = field(repr=False)
    categorical: NDArray[np.bool_] = field(repr=False)
    set_begin: _Wholes = field(repr=False)
    set_end: _Wholes = field(repr=False)
    words: NDArray[np.uint32] = field(repr=False)

    @property
    def iterations(self) -> int:
        """Each is a tree for every output."""
        return len(self.root) // self.outputs

    @classmethod
    def of(cls, text: str) -> FlatTrees:
        """Of a model's text, as LightGBM writes what it has in memory: numbers in 17 digits.

        Raises:
            UnsupportedError: It has something that is not known here.
        """
        head, *blocks = text.partition("\nend of trees")[0].split("\nTree=")
        said, trees = _said(head), [_said(block) for block in blocks]
        _refuse(said.get("version") != _VERSION, f"a model file of version {said.get('version')}")
        _refuse(not trees, "no trees")
        return _flat(trees, features=int(said["max_feature_idx"]) + 1, outputs=int(said["num_tree_per_iteration"]))


def _flat(trees: Sequence[Mapping[str, str]], *, features: int, outputs: int) -> FlatTrees:
    _refuse(any(tree.get("is_linear", "0") != "0" for tree in trees), "linear trees")
    strangers = sorted({name for tree in trees for name in tree} - _FIELDS)
    _refuse(bool(strangers), f"trees with {', '.join(strangers)}")
    leaves, sets = _numbers(trees, "num_leaves", np.int64), _numbers(trees, "num_cat", np.int64)
    _refuse(len(leaves) != len(trees) or len(sets) != len(trees) or bool((leaves < 1).any() or (sets < 0).any()), "trees without leaves")
    _refuse(len(trees) % outputs != 0, f"{len(trees)} trees of {outputs} outputs")
    inner = [tree for tree, count in zip(trees, leaves.tolist(), strict=True) if count > 1]
    feature, decision, left, right = (_numbers(inner, name, np.int64) for name in _SPLITS if name != "threshold")
    threshold, leaf_value = _numbers(inner, "threshold", np.float64), _numbers(trees, "leaf_value", np.float64)
    splits = int((leaves - 1).sum())
    _refuse(
        any(len(each) != splits for each in (feature, decision, left, right, threshold)) or len(leaf_value) != leaves.sum(), "damaged trees"
    )
    _refuse(bool(((feature < 0) | (feature >= features)).any()), "splits of a feature that it has not")
    _refuse(bool(np.isnan(threshold).any()), "thresholds that are NaN")
    kind, threshold = _all_but_missing(_kinds(decision), threshold)
    set_begin, set_end, words = _sets(trees, sets)
    threshold = _numbered(threshold, kind == CATEGORY, leaves - 1, sets)
    pairs, column = np.unique(np.stack([kind == CATEGORY, feature, kind]), axis=1, return_inverse=True)
    nodes = 1 + int((2 * leaves - 1).sum())
    _refuse(nodes >= _LONGEST, f"{nodes:,} nodes")
    made = (np.zeros(nodes), np.zeros(nodes, dtype=np.uint64), np.zeros(nodes), np.zeros(len(trees), dtype=np.int64))
    from inference.boosters import kernel  # numba's import takes a second

    _refuse(not kernel.lay_out(leaves, left, right, np.ravel(column), threshold, leaf_value, *made), "damaged trees")
    node_threshold, link, value, root = made
    return FlatTrees(
        features=features,
        outputs=outputs,
        source=np.ascontiguousarray(pairs[1]),
        kind=np.ascontiguousarray(pairs[2]),
        first_category=int((pairs[0] == 0).sum()),
        threshold=node_threshold,
        link=link,
        value=value,
        root=root,
        categorical=sets > 0,
        set_begin=set_begin,
        set_end=set_end,
        words=words,
    )


def _said(block: str) -> dict[str, str]:
    """The fields of a model's head, or of a tree."""
    lines = (line.partition("=") for line in block.splitlines())
    return {name: value if name not in _UNREAD else "" for name, is_, value in lines if is_}  # those are half of a file


def _numbers(trees: Sequence[Mapping[str, str]], name: str, kind: type[np.number[Any]]) -> NDArray[Any]:
    """A field of all trees, one after the other."""
    return np.fromstring(" ".join(tree.get(name, "") for tree in trees), dtype=kind, sep=" ")


def _kinds(decision: _Wholes) -> _Wholes:
    """How each split sees its feature."""
    missing = (decision >> _MISSING_SHIFT) & 3
    _refuse(bool((missing >= len(_KINDS)).any() or (decision >= 16).any() or (decision < 0).any()), "splits of an unknown decision type")
    return np.where(decision & _IS_CATEGORICAL, CATEGORY, _KINDS[missing, (decision & _DEFAULT_LEFT) >> 1])


def _all_but_missing(kind: _Wholes, threshold: _Floats) -> tuple[_Wholes, _Floats]:
    """Kinds and thresholds, in which a split of all that is there from what is missing asks for just that: nothing is above its infinite threshold."""
    infinite = threshold == np.inf
    is_nan, is_zero = infinite & (kind == NAN_RIGHT), infinite & (kind == ZERO_RIGHT)
    return np.where(is_nan, IS_NAN, np.where(is_zero, IS_ZERO, kind)), np.where(is_nan | is_zero, 0.5, threshold)


def _sets(trees: Sequence[Mapping[str, str]], sets: _Wholes) -> tuple[_Wholes, _Wholes, NDArray[np.uint32]]:
    """Where each set of categories begins and ends, and the words of all."""
    begins, ends, total = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], 0
    words = [np.zeros(0, dtype=np.uint32)]
    for tree, count in zip(trees, sets.tolist(), strict=True):
        if count:
            bounds, own = _numbers([tree], "cat_boundaries", np.int64), _numbers([tree], "cat_threshold", np.uint32)
            _refuse(
                len(bounds) != count + 1 or bounds[0] != 0 or bounds[-1] != len(own) or bool((np.diff(bounds) < 0).any()), "damaged sets"
            )
            begins.append(bounds[:-1] + total)
            ends.append(bounds[1:] + total)
            words.append(own)
            total += len(own)
    return np.concatenate(begins), np.concatenate(ends), np.concatenate(words)


def _numbered(threshold: _Floats, categorical: NDArray[np.bool_], splits: _Wholes, sets: _Wholes) -> _Floats:
    """Thresholds, in which a split of categories has the number of its set among those of all trees."""
    earlier = np.repeat(np.cumsum(sets) - sets, splits)
    own = threshold[categorical]
    _refuse(
        bool(((own < 0) | (own >= np.repeat(sets, splits)[categorical]) | (own != np.floor(own))).any()), "splits of a set that it has not"
    )
    return np.where(categorical, threshold + earlier, threshold)


def _refuse(condition: bool, what: str) -> None:
    if condition:
        raise UnsupportedError(what)
