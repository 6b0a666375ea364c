"""A view in the shadow of another: features that mean the same in both, folded from the tiles of both as of the same times, value by value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.values import Bools, Int64s
from features.kernel.fold import fold
from features.kernel.needed import lacking, needed_from_ms
from features.plan import ViewPlan, WindowFeature, describe_partial, describe_view
from features.tiles.codec import ALL_TIME, TileCodec, Unpacked
from features.tolerances import differences, view_rules
from inference.online.store import Entity, OnlineStore
from schemas.errors import DataError, SettingError

EXAMPLES = 5
_BATCH = 500  # entities compared in one round trip
_SHARED = ("keys", "source", "topic", "event_time", "id", "where")  # of a view's description: what must be the same for any feature to be


@dataclass(frozen=True, kw_only=True)
class Example:
    """Two values that differ: of which entity, as of which end of the windows, in both views."""

    entity: str
    boundary_ms: int
    one: object
    other: object


@dataclass(kw_only=True)
class Compared:
    """What was found of a feature.

    Attributes:
        one, other: Its names in the two views.
        values: How many were compared.
        different: How many differ by more than DESIGN §3 allows.
        largest: The largest difference, relative.
        examples: The first.
    """

    one: str
    other: str
    values: int = 0
    different: int = 0
    largest: float = 0.0
    examples: list[Example] = field(default_factory=list)


def same_meaning(one: ViewPlan, other: ViewPlan) -> list[tuple[WindowFeature, WindowFeature]]:
    """The features of two views that have the same value for the same entity and end of the window, under whatever names."""
    a, b = describe_view(one), describe_view(other)
    if any(a[name] != b[name] for name in _SHARED):
        return []
    pairs = []
    for feature in one.features:
        alike = [each for each in other.features if _meaning(each) == _meaning(feature)]
        if alike:
            pairs.append((feature, min(alike, key=lambda each: each.name != feature.name)))
    return pairs


def compare(store: OnlineStore, one: ViewPlan, other: ViewPlan, *, project: str, points: int) -> Iterator[list[Compared]]:
    """Compare for every entity of the store, as of the last times that both views are complete for.

    Args:
        store: Where they are, from `connect`.
        one: A view.
        other: The one in its shadow.
        project: Feast's project of the generation.
        points: How many ends of windows, one larger tile apart.

    Yields:
        The same findings again and again, each time with more in them.

    Raises:
        DataError: One of the views has no frontier yet, or a stored value is damaged.
        ServiceError: The store does not answer.
        SettingError: No feature means the same in both.
    """
    pairs = same_meaning(one, other)
    if not pairs:
        raise SettingError(
            f'shadow: no feature of "{other.name}" means what one of "{one.name}" does; they share keys, source, where=, inputs and windows'
        )
    known = store.frontiers(project=project).known([one.name, other.name])
    since_ms = max(ALL_TIME[0] if found.since_ms is None else found.since_ms for found in known.values())
    frontiers = {name: found.frontier_ms for name, found in known.items()}
    for name, frontier in frontiers.items():
        if frontier is None:
            raise DataError(f"shadow: view {name} has no frontier yet; no tile is complete. See `tidemark frontier` and `tidemark jobs`")
    step = math.lcm(one.tile_ms, other.tile_ms)
    last = min(frontier for frontier in frontiers.values() if frontier is not None) // step * step
    boundaries = np.arange(points, dtype=np.int64)[::-1] * -step + last
    found = [Compared(one=a.name, other=b.name) for a, b in pairs]
    yield found
    names = sorted(key.name for key in one.keys)
    for batch in store.entities(project):
        mine = [entity for entity in batch if sorted(store.key_values(entity)) == names]
        for first in range(0, len(mine), _BATCH):
            _compare(store, (one, other), project, mine[first : first + _BATCH], boundaries, pairs, found, since_ms=since_ms)
            yield found


def _compare(
    store: OnlineStore,
    views: tuple[ViewPlan, ViewPlan],
    project: str,
    batch: Sequence[Entity],
    boundaries: Int64s,
    pairs: Sequence[tuple[WindowFeature, WindowFeature]],
    found: Sequence[Compared],
    *,
    since_ms: int,
) -> None:
    (stored,) = store.all_tiles([project], batch, views)
    owner = np.repeat(np.arange(len(batch), dtype=np.int64), len(boundaries))
    as_of = np.tile(boundaries, len(batch))
    sides, reads = [], []
    for view, tiles in zip(views, stored, strict=True):
        codec = TileCodec(view=view)
        read = codec.unpack(tiles.whole(codec))
        sides.append(fold(view, read.tiles, owner=owner, boundary_ms=as_of))
        reads.append(read)
    rules = view_rules(views[0])
    for features, compared in zip(pairs, found, strict=True):
        a, b = features
        exact = [_exact(*each, owner, as_of, since_ms) for each in zip(views, features, reads, strict=True)]
        whole = np.flatnonzero(np.logical_and.reduce(exact))
        values = [_chunked(side[name].take(pa.array(whole, type=pa.int64()))) for side, name in zip(sides, (a.name, b.name), strict=True)]
        apart = differences(*values)
        wrong = np.flatnonzero(apart > rules[a.name].allowed)
        compared.values += len(whole)
        compared.different += len(wrong)
        compared.largest = max(compared.largest, float(apart.max(initial=0.0)))
        for row in wrong[: EXAMPLES - len(compared.examples)].tolist():
            entity = "|".join(map(str, store.key_values(batch[owner[whole[row]]]).values()))
            one, other = (side[row].as_py() for side in values)
            compared.examples.append(Example(entity=entity, boundary_ms=int(as_of[whole[row]]), one=one, other=other))


def _exact(view: ViewPlan, feature: WindowFeature, read: Unpacked, owner: Int64s, boundary: Int64s, since_ms: int) -> Bools:
    """Of which rows all tiles of a feature's window are there, in a store that is complete since a time."""
    if since_ms > ALL_TIME[0] and not feature.window.is_bounded:
        return np.zeros(len(owner), dtype=np.bool_)
    merged = None if read.tiles.merged_ms is None else read.tiles.merged_ms[owner]
    begin = np.minimum.reduce(needed_from_ms(view, boundary, windows=[feature.window]))
    needed = needed_from_ms(view, boundary, merged, windows=[feature.window])
    lost = lacking(needed, owner, [read.kept_from_ms, *read.larger_from_ms])
    exact: Bools = ~lost & ~read.inexact[owner] & (begin >= since_ms)
    return exact


def _meaning(feature: WindowFeature) -> tuple[Any, ...]:
    parts = [describe_partial(partial) for partial in feature.partials]
    return feature.finish, feature.type, feature.window, feature.argument, parts


def _chunked(array: pa.Array[Any]) -> pa.ChunkedArray[Any]:
    return pa.chunked_array([array])
