"""Why a value differs: the tiles of its window, as the stream sent them and as Spark makes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from features.plan import ServicePlan, ViewPlan, WindowFeature
from features.tolerances import differences, tile_rules
from features.window import Window
from inference.online.active_generation import read_active
from inference.online.connection import connect
from infra.settings import Settings
from jobs.control.store_state import show_since
from jobs.parity.findings import Example
from jobs.parity.tiles import online_tiles
from jobs.spark.history import History
from schemas.errors import ServiceError, SettingError, TidemarkError

_SHOWN = 24

Values = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TilePair:
    """One tile on both sides, as far as the feature is made of it; None where a side has none."""

    start_ms: int
    online: Values | None
    history: Values | None

    @property
    def what(self) -> str:
        """In a word."""
        return "missing online" if self.online is None else "only online" if self.history is None else "differs"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The tiles of one example's window.

    Attributes:
        view: Whose tiles; empty for a feature of the request itself.
        key: The entity's key columns.
        low_ms, high_ms: The window `[b − W, b)`.
        alike: Tiles that both sides have, and that agree.
        pairs: The first of those that do not.
        different: How many those are.
        note: Why there are no tiles to show, or what follows when all agree.
    """

    view: str = ""
    key: Values
    low_ms: int = 0
    high_ms: int = 0
    alike: int = 0
    pairs: tuple[TilePair, ...] = ()
    different: int = 0
    note: str = ""

    @property
    def counted(self) -> str:
        """How many tiles agree, where both sides could be read."""
        return f": {self.alike:,} tiles agree, {self.different:,} do not" if self.alike or self.different else ""


def evidence_of(service: ServicePlan, examples: Sequence[Example], past: History, settings: Settings, work: Path) -> list[Evidence]:
    """The evidence of each example: a read of the tiles topic and a look into history for each view concerned."""
    owners = {feature.name: (view, feature) for view in service.views for feature in view.features}
    asked: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if example.column in owners:
            asked[owners[example.column][0].name].append(example)
    views = {view.name: view for view in service.views}
    both = {name: _Both.of(views[name], own, past, settings, work / name) for name, own in asked.items()}
    found = []
    for example in examples:
        if example.column not in owners:
            found.append(Evidence(key={}, note="computed from the request alone"))
        else:
            view, feature = owners[example.column]
            found.append(both[view.name].of_example(feature, example))
    return found


@dataclass(frozen=True, kw_only=True)
class _Both:
    """The tiles of some entities of one view, on both sides: (key values, start in ms) → the columns."""

    view: ViewPlan
    online: Mapping[tuple[Any, ...], Values] | None
    history: Mapping[tuple[Any, ...], Values]
    fault: str = ""
    since: str = ""

    @classmethod
    def of(cls, view: ViewPlan, examples: Sequence[Example], past: History, settings: Settings, work: Path) -> _Both:
        keys = {tuple(example.key[column.name] for column in view.keys) for example in examples}
        keys = {key for key in keys if None not in key}
        ends = view.boundary_ms(np.array([example.at_ms for example in examples], dtype=np.int64))
        low = None if view.has_lifetime else int(ends.min()) - view.longest_window_ms
        high = int(ends.max())
        tiles = past.tiles(view, low, high)
        history = _by_place(view, _of_keys(view, tiles, keys).toArrow()) if keys else {}
        try:
            found = online_tiles(past.spark, settings, view, work, keys=frozenset("|".join(map(str, key)) for key in keys)).frame
            online = _by_place(view, _of_keys(view, found, keys).toArrow()) if keys else {}
            return cls(view=view, online=online, history=history, since=_since(settings, view))
        except (ServiceError, SettingError) as error:
            return cls(view=view, online=None, history=history, fault=str(error))

    def of_example(self, feature: WindowFeature, example: Example) -> Evidence:
        key = tuple(example.key[column.name] for column in self.view.keys)
        high = int(self.view.boundary_ms(np.array([example.at_ms], dtype=np.int64))[0])
        starts = self._starts(key, high, feature.window)
        begin = feature.window.begin_ms(high)
        low = min(starts, default=high) if begin is None else begin
        names = [column.name for partial in feature.partials for column in partial.columns]
        about = {"view": self.view.name, "key": {column.name: example.key[column.name] for column in self.view.keys}}
        alike, pairs = 0, []
        for start in starts if self.online is not None else ():
            one, other = ((side or {}).get((*key, start)) for side in (self.online, self.history))
            if one is None and other is None:
                continue
            if one is not None and other is not None and self._agree(names, one, other):
                alike += 1
            else:
                pairs.append(TilePair(start_ms=start, online=_some(one, names), history=_some(other, names)))
        note = f"the tiles topic cannot be read: {self.fault}" if self.online is None else ""
        if not pairs and not note:
            note = f"every tile agrees: the fault lies behind them, in the store, the window, the delay or the frontier of the read{self.since}"
        return Evidence(**about, low_ms=low, high_ms=high, alike=alike, pairs=tuple(pairs[:_SHOWN]), different=len(pairs), note=note)  # type: ignore[arg-type]

    def _starts(self, key: tuple[Any, ...], high: int, window: Window) -> Sequence[int]:
        """Where tiles of the window may start; of all time, where any side has one."""
        begin = window.begin_ms(high)
        if begin is not None:
            return range(begin, high, self.view.tile_ms)
        known = {place[-1] for side in (self.online, self.history) for place in (side or {}) if place[:-1] == key}
        return sorted(start for start in known if start < high)

    def _agree(self, names: Sequence[str], one: Values, other: Values) -> bool:
        rules = tile_rules(self.view)
        types = {column.name: column.type.arrow for column in self.view.tile_columns}

        def apart(name: str) -> float:
            column, beside = (pa.chunked_array([pa.array([side[name]], type=types[name])]) for side in (one, other))
            return float(differences(column, beside)[0])

        return all(apart(name) <= rules[name].allowed for name in names)


def _since(settings: Settings, view: ViewPlan) -> str:
    """What the store has lost, in words to go on with."""
    try:
        store = connect(settings.redis_url)
        since_ms = store.frontiers(project=read_active(store).project).known([view.name])[view.name].since_ms
    except TidemarkError:
        return ""
    if since_ms is None:
        return ""
    return f"; the store has lost data and is complete since {show_since(since_ms)}: `tidemark rebuild --switch`"


def _some(tile: Values | None, names: Sequence[str]) -> Values | None:
    return None if tile is None else {name: tile[name] for name in names}


def _of_keys(view: ViewPlan, tiles: Any, keys: set[tuple[Any, ...]]) -> Any:
    """The tiles of some entities, their starts in ms."""
    spark = tiles.sparkSession
    types = ", ".join(f"`{column.name}` {column.type.spark}" for column in view.keys)
    wanted = spark.createDataFrame(sorted(keys, key=str), types)
    return tiles.join(wanted.hint("broadcast"), [column.name for column in view.keys], "leftsemi")


def _by_place(view: ViewPlan, tiles: pa.Table) -> dict[tuple[Any, ...], Values]:
    starts = tiles["tile_start"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_pylist()
    return {(*(row[column.name] for column in view.keys), start): row for row, start in zip(tiles.to_pylist(), starts, strict=True)}
