"""What a batch of requests was served: the model's inputs as numbers, and a table of them for whoever asks for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from features.columns.block import Block, Columns
from features.columns.values import Bools, Int64s, Values
from features.plan import RequestFeature, ServicePlan
from inference.online.requests import Requests
from schemas.types import DataType


@dataclass(frozen=True, kw_only=True)
class Served:
    """Of n requests, in their order.

    Attributes:
        service: Whose features.
        requests: n.
        windowed: The features of the service's views, in order.
        frontier_ms: The least of the service's views; None before the first closing of one of them.
        stale: bool[n], whether features are older than an exact read's, or lack something.
        stale_age_ms: int64[n], how far the oldest view's newest complete tiles lie behind the boundary that was asked for:
            0 for an exact read, int64's maximum where a view has no frontier yet.
        unseen: View → bool[n], whether the entity was never seen by it; a null key never is.
        tiles: View → int64[n], the tiles in the view's widest window; a seen entity with none has an empty window.
    """

    service: ServicePlan
    requests: Requests
    windowed: Block
    frontier_ms: int | None
    stale: Bools
    stale_age_ms: Int64s
    unseen: Mapping[str, Bools]
    tiles: Mapping[str, Int64s]

    @cached_property
    def vector(self) -> Block:
        """The feature vector, in the service's order. Arrow is made of what is computed alone: of request features that are more than a number, and of what derived ones read."""
        service, n = self.service, len(self.requests)
        if not service.request_features and not service.derived:
            return self.windowed
        columns, own, derived = _columns(tuple(service.feature_types.items()), len(service.request_features), len(service.derived))
        first = {feature.name: self._of_request(feature) for feature in service.request_features}
        parts = [Block.of(own, first, n), self.windowed]
        if service.derived:
            made = self._computed([name for each in service.derived for name in each.inputs if name in self.windowed])
            parts.append(Block.of(derived, {name: Values.of(made[name], type_) for name, type_ in derived.types.items()}, n))
        return Block.together(columns, parts)

    def _of_request(self, feature: RequestFeature) -> Values:
        name, type_ = feature.expression.column, feature.expression.type
        if name is None:
            return Values.of(feature.expression.evaluate(self.requests.table), type_)
        if type_ is DataType.STRING:
            return Values.of(self.requests.array(name), type_)
        bits, valid = self.requests.bits(name)
        return Values(numbers=bits.view(np.float64) if type_ is DataType.FLOAT64 else bits, valid=valid)

    @cached_property
    def table(self) -> pa.Table:
        """The request's columns, then the features in the service's order, then `frontier` (UTC ms) and `stale`.

        A feature that has the name of a request column takes its place.
        """
        columns = self._computed([name for name in self.service.feature_types if name in self.windowed])
        columns["frontier"] = pa.array([self.frontier_ms] * len(self.requests), type=DataType.TIMESTAMP.arrow)
        columns["stale"] = pa.array(self.stale)
        return pa.table(columns)

    def _computed(self, windowed: Iterable[str]) -> dict[str, Any]:
        """The request's columns and features, some features of views, and the derived ones, which read no others, as Arrow."""
        table = self.requests.table
        columns: dict[str, Any] = dict(zip(table.schema.names, table.columns, strict=True))
        columns |= {feature.name: feature.expression.evaluate(table) for feature in self.service.request_features}
        columns |= {name: self.windowed[name].arrow(self.service.feature_types[name]) for name in windowed}
        for derived in self.service.derived:
            columns[derived.name] = derived.evaluate(columns)
        return columns


@lru_cache(maxsize=256)
def _columns(types: tuple[tuple[str, DataType], ...], first: int, last: int) -> tuple[Columns, Columns, Columns]:
    """All columns of a vector, those before the views' and those behind them."""
    return Columns(types=dict(types)), Columns(types=dict(types[:first])), Columns(types=dict(types[len(types) - last :]))
