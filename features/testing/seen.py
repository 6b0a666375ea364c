"""What a replay has made of events: features as of any instant, and what was not counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.values import Int64s
from features.plan import ViewPlan
from features.point_in_time import AS_OF, ROW, Folder
from features.testing.counting import Counted, counted
from features.testing.gate import Checked, DeadLetter, Row
from features.testing.instants import Instant, datetime_of, ms_of
from features.testing.request import Request
from features.testing.tiles import tiles_of
from schemas.types import DataType


@dataclass(frozen=True, kw_only=True)
class Served:
    """What the online store would answer.

    Attributes:
        features: Name → value.
        stale: Whether they are of older tiles than an exact answer needs, or of none.
        age: How far the oldest view's newest complete tiles lie behind what was asked for; 0 when exact, None where there are none yet.
    """

    features: Mapping[str, Any]
    stale: bool
    age: timedelta | None


@dataclass(frozen=True, kw_only=True)
class SeenView:
    """One view's part of a replay.

    Attributes:
        view: Its plan.
        checked: The events of its source.
    """

    view: ViewPlan
    checked: Checked

    @cached_property
    def counted(self) -> Counted:
        """Its source's events, judged by its tiles."""
        return counted(self.view, self.checked)

    @cached_property
    def tiles(self) -> pa.Table:
        """All its tiles, those too that are not closed yet: the key columns, `tile_start` and the tile columns."""
        return tiles_of(self.view, self.counted.events)

    @property
    def frontier_ms(self) -> int | None:
        """The end of the newest tiles that the watermark has closed; None before there is a watermark."""
        reached = self.checked.reached_ms
        return None if reached is None else (reached + 1) // self.view.tile_ms * self.view.tile_ms

    def behind_ms(self, at_ms: int) -> int | None:
        """How far the frontier lies behind what an exact answer as of a time needs; 0 for an exact one, None before there is a frontier."""
        return None if self.frontier_ms is None else max(0, self._boundary_ms(at_ms) - self.frontier_ms)

    def values(self, request: pa.Table, at_ms: int, *, closed_only: bool = False) -> dict[str, pa.Array[Any]]:
        """Feature name → one value, as of a time; `closed_only`: as of the frontier where that is earlier."""
        tiles, as_of_ms = self.tiles, at_ms
        if closed_only and self.frontier_ms is None:
            tiles = tiles.slice(0, 0)
        elif closed_only and self.frontier_ms is not None:
            as_of_ms = min(self._boundary_ms(at_ms), self.frontier_ms) + self.view.delay_ms
        keys = {key.name: request.column(key.name) for key in self.view.keys}
        asked = pa.table({ROW: pa.array([0], pa.int64()), AS_OF: pa.array([as_of_ms], pa.int64()), **keys})
        values = Folder(view=self.view)(asked, tiles)
        return {feature.name: values.column(feature.name).combine_chunks() for feature in self.view.features}

    def _boundary_ms(self, at_ms: int) -> int:
        return int(self.view.boundary_ms(np.array([at_ms], dtype=np.int64))[0])


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a view, or the views of a service, have seen. Keys, and a request's fields, are given by name.

    Attributes:
        request: What a question must name.
        views: By name.
    """

    request: Request
    views: Mapping[str, SeenView]

    @cached_property
    def feature_types(self) -> dict[str, DataType]:
        """Feature name → type, in the order of an answer."""
        own = {feature.name: feature.expression.type for feature in self.request.own}
        viewed = {feature.name: feature.type for view in self.views.values() for feature in view.view.features}
        return own | viewed | dict.fromkeys((feature.name for feature in self.request.derived), DataType.FLOAT64)

    def as_of(self, at: Instant, /, **fields: Any) -> dict[str, Any]:
        """The exact features as of an instant: what a training row has, and an online answer once the tiles before it are closed.

        Args:
            at: The instant; of a service, the request's event time.
            fields: Of a view, its keys; of a service, those fields of a request that keys and request features read.

        Returns:
            Feature name → value, in declared order: int, float, bool, str, a datetime in UTC, or None.

        Raises:
            SettingError: A field is missing, unknown, or of another type; or `at` is no time.
        """
        return self._answer(ms_of(at), fields, closed_only=False)

    def served(self, at: Instant, /, **fields: Any) -> Served:
        """What the online store would answer right after the last row, of the tiles that are closed by then. Arguments as of `as_of`."""
        at_ms = ms_of(at)
        features = self._answer(at_ms, fields, closed_only=True)
        behind = [view.behind_ms(at_ms) for view in self.views.values()]
        known = [each for each in behind if each is not None]
        age = timedelta(milliseconds=max(known, default=0)) if len(known) == len(behind) else None
        return Served(features=features, stale=age != timedelta(0), age=age)

    def stale(self, at: Instant) -> bool:
        """Whether an online answer as of an instant, right after the last row, would be marked stale: a view's frontier is not there yet."""
        at_ms = ms_of(at)
        return any(view.behind_ms(at_ms) != 0 for view in self.views.values())

    @property
    def late(self) -> list[Row]:
        """The rows that one or more views do not count since their tile had ended: what the late topics hold, in the order of arrival."""
        return self._rows((view.checked, view.counted.late) for view in self.views.values())

    @property
    def repeats(self) -> list[Row]:
        """The rows that were on time, but repeat another's id and event time."""
        return self._rows((view.checked, view.counted.repeats) for view in self.views.values())

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """The rows that the gate refused, with its reasons."""
        return [letter for checked in self._sources for letter in checked.dead_letters]

    @property
    def watermark(self) -> datetime | None:
        """How far event time has come, of several sources in the slowest; None before there is any."""
        return _least(checked.reached_ms for checked in self._sources)

    @property
    def frontier(self) -> datetime | None:
        """Up to when all views' tiles are closed; None before there are any."""
        return _least(view.frontier_ms for view in self.views.values())

    @property
    def _sources(self) -> list[Checked]:
        """Each source's rows once."""
        return list({id(view.checked): view.checked for view in self.views.values()}.values())

    def _rows(self, groups: Iterable[tuple[Checked, Int64s]]) -> list[Row]:
        """The rows that are in one or more groups, each once, by source and arrival."""
        chosen = {(id(checked), place) for checked, places in groups for place in places.tolist()}
        return [row for checked in self._sources for place, row in enumerate(checked.rows) if (id(checked), place) in chosen]

    def _answer(self, at_ms: int, fields: Mapping[str, Any], *, closed_only: bool) -> dict[str, Any]:
        request = self.request.read(at_ms, fields)
        columns = self.request.features(request)
        for view in self.views.values():
            columns |= view.values(request, at_ms, closed_only=closed_only)
        columns |= self.request.derived_from(columns)
        return {name: column[0].as_py() for name, column in columns.items()}


def _least(times_ms: Iterable[int | None]) -> datetime | None:
    known = list(times_ms)
    return datetime_of(min(time for time in known if time is not None)) if known and None not in known else None
