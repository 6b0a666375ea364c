"""What Spark computes from history, for a comparison: features of the predictions' own requests, and tiles. All that parity asks of the backfill."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation

from features.compiler.spark import tile_query
from features.plan import ServicePlan, ViewPlan
from inference.prediction import id_field
from inference.prediction_table import STALE
from jobs.spark import backfill, parquet_source
from jobs.spark.paths import to_read, to_write
from jobs.spark.relation import between, refuse
from schemas.errors import ServiceError
from schemas.schema import SchemaSet

ORDER = "#order"
"""int64: in which order the rows came."""


@dataclass(frozen=True, kw_only=True)
class History:
    """Where history is and how it is counted.

    Attributes:
        spark: A session.
        schemas: Of the sources.
        events: Folder with one folder per source: the archive, or files from elsewhere.
        as_known: Count late events too, instead of what was served.
    """

    spark: SparkSession
    schemas: SchemaSet
    events: Path
    as_known: bool

    def features(self, service: ServicePlan, predictions: Path, out: Path, *, sample: int | None) -> None:
        """Compute the features of every request that has an exact prediction, or of a sample of them, from the request in the prediction.

        Args:
            service: Whose features.
            predictions: Staged ones.
            out: Where Parquet files go: the request's fields, then the features.
            sample: How many: those whose ids have the lowest SHA-256 in hexadecimal, whatever else is there.
        """
        identity = F.col(f"`{id_field(service)}`")
        order = Window.partitionBy(identity).orderBy(F.col(f"`{ORDER}`"))
        exact = self.spark.read.parquet(to_read(predictions)).where(~F.col(STALE)).withColumn("#copy", F.row_number().over(order))
        asked = exact.where(F.col("`#copy`") == 1)
        if sample is not None:
            asked = asked.orderBy(F.sha2(identity.cast("string"), 256)).limit(sample)
        requests = out.with_name(f"{out.name}-requests")
        asked.select(*(F.col(f"`{name}`") for name in service.request.columns)).write.parquet(to_write(requests))
        out.mkdir()
        wanted = backfill.Backfill(service=service, schemas=self.schemas, events=self.events, requests=requests, as_known=self.as_known)
        summary = backfill.compute(self.spark, wanted, out)
        if not summary.whole:
            raise ServiceError(f"parity: not every day could be recomputed: {'; '.join(dict.fromkeys(summary.failed.values()))}")

    def tiles(self, view: ViewPlan, low_ms: int | None, high_ms: int) -> DataFrame:
        """The view's tiles that start in `[low, high)`: its key columns, `tile_start` and the tile columns."""
        source = view.source
        relation = parquet_source.events(self.spark, self.events, source, self.schemas.current(source.schema))
        counted = between(relation.rows, source.event_time, low_ms, high_ms)
        refuse(counted, relation).createOrReplaceTempView(source.name)
        return self.spark.sql(tile_query(view, self.as_known))
