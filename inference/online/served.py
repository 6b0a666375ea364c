"""What a batch of requests was served: the model's inputs as numbers, and a table of them for whoever asks for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from features.columns.values import Bools, Int64s, Values
from features.plan import ServicePlan
from schemas.types import DataType


@dataclass(frozen=True, kw_only=True)
class Served:
    """Of n requests, in their order.

    Attributes:
        service: Whose features.
        requests: n rows.
        by_view: View → its features: name → n values.
        frontier_ms: The least of the service's views; None before the first closing of one of them.
        stale: bool[n], whether features are older than an exact read's, or lack something.
        stale_age_ms: int64[n], how far the oldest view's newest complete tiles lie behind the boundary that was asked for:
            0 for an exact read, int64's maximum where a view has no frontier yet.
        unseen: View → bool[n], whether the entity was never seen by it; a null key never is.
        tiles: View → int64[n], the tiles in the view's widest window; a seen entity with none has an empty window.
    """

    service: ServicePlan
    requests: pa.Table | pa.RecordBatch
    by_view: Mapping[str, Mapping[str, Values]]
    frontier_ms: int | None
    stale: Bools
    stale_age_ms: Int64s
    unseen: Mapping[str, Bools]
    tiles: Mapping[str, Int64s]

    @cached_property
    def columns(self) -> dict[str, Values]:
        """The feature vector: name → n values, in the service's order. No Arrow is made of the features of views, but of those that derived ones read."""
        service, types, windowed = self.service, self.service.feature_types, self._windowed
        if len(windowed) == len(types):
            return windowed
        others = self._computed([name for derived in service.derived for name in derived.inputs if name in windowed])
        return {name: windowed[name] if name in windowed else Values.of(others[name], type_) for name, type_ in types.items()}

    @cached_property
    def table(self) -> pa.Table:
        """The request's columns, then the features in the service's order, then `frontier` (UTC ms) and `stale`.

        A feature that has the name of a request column takes its place.
        """
        columns = self._computed([name for name in self.service.feature_types if name in self._windowed])
        columns["frontier"] = pa.array([self.frontier_ms] * self.requests.num_rows, type=DataType.TIMESTAMP.arrow)
        columns["stale"] = pa.array(self.stale)
        return pa.table(columns)

    @cached_property
    def _windowed(self) -> dict[str, Values]:
        return {name: features[name] for features in self.by_view.values() for name in features}

    def _computed(self, windowed: Iterable[str]) -> dict[str, Any]:
        """The request's columns and features, some features of views, and the derived ones, which read no others, as Arrow."""
        columns: dict[str, Any] = {name: self.requests.column(name) for name in self.requests.schema.names}
        columns |= {feature.name: feature.expression.evaluate(self.requests) for feature in self.service.request_features}
        columns |= {name: self._windowed[name].arrow(self.service.feature_types[name]) for name in windowed}
        for derived in self.service.derived:
            columns[derived.name] = derived.evaluate(columns)
        return columns
