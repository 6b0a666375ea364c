"""What a backfill computes from: the good rows of requests and events, and how many there are on each day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.plan import LabelPlan, ServicePlan
from features.point_in_time import SharedColumns
from inference.prediction_table import FRONTIER, STALE
from jobs.spark.daily_writer import LABEL, FeatureScorer
from schemas.types import DataType

REQUESTS = "--requests"
"""The requests' name among the relations: as the user names them, and as no source can be called."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a backfill reads.

    Attributes:
        service: Whose features.
        as_known: Whether late events count.
        requests: Requests that are asked for, bad ones left out.
        days: Of the requests and of each source: day → rows.
        events: Source → events, bad ones left out.
        label: `#on` and `label` of everything that happened, where that is wanted.
        scoring: Makes predictions of the features, where those are wanted.
    """

    service: ServicePlan
    as_known: bool
    requests: DataFrame
    days: Mapping[str, Mapping[int, int]]
    events: Mapping[str, DataFrame]
    label: DataFrame | None
    scoring: FeatureScorer | None = None

    @cached_property
    def shared(self) -> SharedColumns:
        """All views side by side."""
        return SharedColumns(views=self.service.views)

    @property
    def schema(self) -> pa.Schema:
        """Of the output: predictions; or the request, the features, where they were read, the label."""
        if self.scoring is not None:
            return self.scoring.schema
        service = self.service
        types = dict(service.request.columns) | service.feature_types
        names = [*service.request.columns, *(name for name in service.feature_types if name not in service.request.columns)]
        fields = [pa.field(name, types[name].arrow) for name in names]
        fields += [pa.field(FRONTIER, DataType.TIMESTAMP.arrow), pa.field(STALE, pa.bool_())]
        if self.label is not None and service.label is not None:
            fields.append(pa.field(LABEL, service.label.value.type.arrow))
        return pa.schema(fields)


def happened(label: LabelPlan, events: DataFrame) -> DataFrame:
    """What then happened, by `#on`: of several events the latest, null values passed over."""
    value = F.expr(label.value.sql("spark"))
    when = F.struct(F.col(f"`{label.source.event_time}`"), value)
    return events.where(value.isNotNull()).groupBy(F.col(f"`{label.on}`").alias("#on")).agg(F.max_by(value, when).alias(LABEL))
