"""What a question names: a view's keys, or the fields of a service's request that keys and request features read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from features.compiler.declarations import did_you_mean
from features.plan import RequestFeature, ServicePlan, SourcePlan, ViewPlan
from features.testing.gate import json_of
from features.vocabulary.derived import DerivedFeature
from schemas.errors import SettingError
from schemas.field import Field
from schemas.json_columns import read_json
from schemas.schema import Schema, SchemaSet
from schemas.times import show_ms
from schemas.types import DataType


@dataclass(frozen=True, kw_only=True)
class Request:
    """How a question is read.

    Attributes:
        owner: For messages: the view or service that is asked.
        schema: Of the view's events, or of the service's requests.
        needed: The fields that an answer reads, in schema order.
        allowed: Those that may be named; a service's request has more than are read.
        event_time: The field of the request's own time, which `as_of` gives; None of a view.
        own: The request features.
        derived: The derived features.
    """

    owner: str
    schema: Schema
    needed: tuple[str, ...]
    allowed: tuple[str, ...]
    event_time: str | None = None
    own: tuple[RequestFeature, ...] = ()
    derived: tuple[DerivedFeature, ...] = ()

    @classmethod
    def of_view(cls, view: ViewPlan, schemas: SchemaSet) -> Request:
        """Of a view: its keys."""
        keys = tuple(key.name for key in view.keys)
        return cls(owner=f'view "{view.name}"', schema=schemas.current(view.source.schema), needed=keys, allowed=keys)

    @classmethod
    def of_service(cls, service: ServicePlan, schemas: SchemaSet) -> Request:
        """Of a service: what its views' keys and its request features read."""
        read = {key.name for view in service.views for key in view.keys}
        read |= {name for feature in service.request_features for name in feature.expression.columns}
        allowed = tuple(name for name in service.request.columns if name != service.request.event_time)
        return cls(
            owner=f'service "{service.name}"',
            schema=schemas.current(service.request.schema),
            needed=tuple(name for name in allowed if name in read),
            allowed=allowed,
            event_time=service.request.event_time,
            own=service.request_features,
            derived=service.derived,
        )

    def read(self, at_ms: int, fields: Mapping[str, Any]) -> pa.Table:
        """One row of the fields that are read, checked as the gate checks a request.

        Raises:
            SettingError: One is missing, unknown, or of another type.
        """
        asked = f"as of {show_ms(at_ms)}"
        for name in fields:
            if name not in self.allowed:
                raise SettingError(f'{asked}: {self.owner} is not asked by "{name}"; {did_you_mean(name, self.allowed)}')
        chosen = self._chosen(fields)
        columns, (fault,) = read_json([json_of(fields, asked)], replace(self.schema, fields=chosen))
        for field in chosen:
            if fault is None and field.type is DataType.FLOAT64 and not field.non_finite_allowed:
                column = columns[field.name]
                fault = None if np.isfinite(column.values[0]) or column.nulls[0] else f'non-finite: field "{field.name}"'
        if fault is not None:
            raise SettingError(f"{asked}: {self.owner}: {fault}; it is asked by {', '.join(self.needed) or 'nothing'}")
        row: dict[str, pa.Array[Any]] = {}
        for field in chosen:
            value = None if columns[field.name].nulls[0] else columns[field.name].values.tolist()[0]
            row[field.name] = pa.array([value], type=field.type.arrow)
        if self.event_time is not None:
            row[self.event_time] = pa.array([at_ms], type=DataType.TIMESTAMP.arrow)
        return pa.table(row)

    def features(self, request: pa.Table) -> dict[str, pa.Array[Any]]:
        """The request features of a row from `read`."""
        return {feature.name: feature.expression.evaluate(request) for feature in self.own}

    def derived_from(self, features: Mapping[str, pa.Array[Any]]) -> dict[str, pa.Array[Any]]:
        """The derived features of a row."""
        return {feature.name: feature.evaluate(features) for feature in self.derived}

    def _chosen(self, given: Iterable[str]) -> tuple[Field, ...]:
        wanted = {*self.needed, *given}
        return tuple(field for field in self.schema.fields if field.name in wanted)


def sources_of(views: Iterable[ViewPlan]) -> dict[str, SourcePlan]:
    """The sources of views, by name, in the order of the views."""
    return {view.source.name: view.source for view in views}
