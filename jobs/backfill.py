"""`spark-submit jobs/backfill.py …`, also `tidemark backfill …`: the features of requests from history, as of each one's event time.

events ─Spark SQL─▶ tiles ┐
                requests ─┴─cogroup by bucket of keys─▶ the kernel, through Arrow ─▶ Parquet
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

if __name__ == "__main__" and sys.path and sys.path[0] == str(Path(__file__).parent):
    sys.path[0] = str(Path(__file__).parent.parent)  # a script finds its own folder first; ours is the project

import numpy as np
import pyarrow as pa
import typer
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as in Spark's own documentation
from pyspark.sql import types as T  # noqa: N812 - the same

from features.catalog import load
from features.compiler.plan import LabelPlan, ServicePlan, ViewPlan
from features.compiler.spark import tile_query
from features.derived import DerivedFeature
from features.offline import AS_OF, ROW, TILE_START, Folder
from infra.settings import Settings
from jobs import history
from jobs.features_read import service_named
from jobs.frontier import instant_ms
from jobs.output import written_whole
from jobs.spark_session import session
from schemas.errors import SettingError
from schemas.record import SHIPPED, SchemaSet

MANIFEST = "_tidemark.json"
"""What a backfill was made of, beside its Parquet files (readers skip names that begin with `_`)."""
LABEL = "label"
FRONTIER, STALE = "frontier", "stale"

_BUCKET = "#bucket"
_ROWS_PER_BUCKET = 250_000
_ROWS_PER_FILE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """What to compute.

    Attributes:
        service: The feature service.
        schemas: Of its sources.
        events: Folder with one folder of Parquet files per source.
        requests: Parquet file of requests, or a folder of them.
        as_known: Count late events too, instead of what was served.
        label: Add the column `label`: what then happened, null where unknown.
        from_ms, until_ms: Only requests with event times in `[from, until)`.
    """

    service: ServicePlan
    schemas: SchemaSet
    events: Path
    requests: Path
    as_known: bool = False
    label: bool = False
    from_ms: int | None = None
    until_ms: int | None = None

    def __post_init__(self) -> None:
        """Refuse a label that the service does not have."""
        if self.label and self.service.label is None:
            raise SettingError(f'--label: the service "{self.service.name}" has no label=')


@dataclass(kw_only=True)
class Outcome:
    """What a backfill read and wrote."""

    rows: int
    tallies: list[history.Tally] = field(default_factory=list)
    files: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    seconds: float = 0.0

    def lines(self, out: Path) -> list[str]:
        """For the user."""
        return [*map(str, self.tallies), f"{self.rows:,} rows of features in {self.seconds:.1f} s: {out}"]


def command(
    service: Annotated[str, typer.Option(help="A feature service of the definitions")],
    events: Annotated[Path, typer.Option(help="Folder with one folder per source, named as the source, of Parquet files")],
    requests: Annotated[Path, typer.Option(help="Parquet file of requests, or a folder of them: the fields of the request schema")],
    out: Annotated[Path, typer.Option(help="Folder to write: request columns, features, frontier, stale")],
    as_known: Annotated[bool, typer.Option("--as-known", help="Count late events too; otherwise as served, without them")] = False,
    label: Annotated[bool, typer.Option("--label", help="Add the column label: what then happened, null where unknown")] = False,
    from_: Annotated[str | None, typer.Option("--from", help="Only requests from this time on, e.g. 2013-01-01", metavar="TIME")] = None,
    until: Annotated[str | None, typer.Option(help="Only requests before this time", metavar="TIME")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out")] = False,
) -> None:
    """Compute a service's features from history, as of each request's event time."""
    settings = Settings.load()
    backfill = Backfill(
        service=service_named(service, load(settings.definitions, settings.schemas)),
        schemas=SchemaSet.load(settings.schemas or SHIPPED),
        events=events,
        requests=requests,
        as_known=as_known,
        label=label,
        from_ms=None if from_ is None else instant_ms(from_),
        until_ms=None if until is None else instant_ms(until),
    )
    for line in run(backfill, out, overwrite=overwrite).lines(out):
        print(line)


def run(backfill: Backfill, out: Path, *, overwrite: bool) -> Outcome:
    """Compute and write; the folder appears whole or not at all.

    Raises:
        SettingError: A folder that is missing or not writable, or one that is already there and may not be replaced.
        DataError: Files that are not Parquet, or lack columns, or have others of wrong types.
    """
    started = time.monotonic()
    with written_whole(out, mark=MANIFEST, replace=overwrite) as scratch, session(f"tidemark backfill {backfill.service.name}") as spark:
        outcome = compute(spark, backfill, scratch)
        outcome.seconds = time.monotonic() - started
        (scratch / MANIFEST).write_text(json.dumps(_manifest(backfill, outcome), indent=1) + "\n")
    return outcome


def compute(spark: SparkSession, backfill: Backfill, folder: Path) -> Outcome:
    """The features of every request, written below a folder as Parquet files in the order of the requests."""
    service = backfill.service
    asked = history.requests(spark, backfill.requests, backfill.schemas.current(service.request.schema))
    sources = {view.source.name: view.source for view in service.views}
    if backfill.label and service.label is not None:
        sources |= {service.label.source.name: service.label.source}
    known = {
        name: history.events(spark, backfill.events, source, backfill.schemas.current(source.schema)) for name, source in sources.items()
    }
    outcome = Outcome(rows=0, files={name: relation.files for name, relation in [("requests", asked), *known.items()]})

    within = history.between(asked.rows, service.request.event_time, backfill.from_ms, backfill.until_ms)
    outcome.tallies.append(history.tally("requests", within, asked.schema))
    as_of = F.unix_millis(_column(service.request.event_time)).alias(AS_OF)
    rows = history.refuse(within, asked.schema).select("*", F.monotonically_increasing_id().alias(ROW), as_of).persist()
    oldest, newest = _extent(rows)
    outcome.rows = outcome.tallies[0].rows - outcome.tallies[0].refused
    result = _with_request_features(rows, service)
    for source in sources.values():
        views = [view for view in service.views if view.source.name == source.name]
        relation = known[source.name]
        if views:
            low_ms, high_ms = _reach(views, oldest, newest)
            counted = history.between(relation.rows, source.event_time, low_ms, high_ms)
            outcome.tallies.append(history.tally(source.name, counted, relation.schema))
            history.refuse(counted, relation.schema).createOrReplaceTempView(source.name)
            for view in views:
                tiles = spark.sql(tile_query(view, backfill.as_known))
                values = _fold(view, rows, tiles, buckets=_buckets(spark, outcome.rows + outcome.tallies[-1].rows))
                result = result.join(values, ROW, "left")
    if service.derived:
        result = _with_derived(result, service)
    if backfill.label and service.label is not None:
        result = _with_label(result, service, service.label, known[service.label.source.name])
    _write(_columns(result, backfill), folder, outcome.rows)
    rows.unpersist()
    return outcome


def _extent(rows: DataFrame) -> tuple[int, int]:
    """The oldest and newest event time of the requests."""
    found = rows.agg(F.min(AS_OF), F.max(AS_OF)).head()
    assert found is not None
    return (0, 0) if found[0] is None else (int(found[0]), int(found[1]))


def _reach(views: list[ViewPlan], oldest: int, newest: int) -> tuple[int, int]:
    """The event times `[low, high)` that any window of the views covers as of the requests."""
    times = np.array([oldest, newest], dtype=np.int64)
    boundaries = [view.boundary_ms(times) for view in views]
    low = min(int(ends[0]) - view.longest_window_ms for view, ends in zip(views, boundaries, strict=True))
    return low, max(int(ends[1]) for ends in boundaries)


def _buckets(spark: SparkSession, rows: int) -> int:
    """Groups of keys: enough for every core, each small enough for a worker's memory and large enough for the kernel."""
    return max(2 * spark.sparkContext.defaultParallelism, -(-rows // _ROWS_PER_BUCKET))


def _fold(view: ViewPlan, rows: DataFrame, tiles: DataFrame, *, buckets: int) -> DataFrame:
    """The view's features by `#row`."""
    keys = [_column(key.name) for key in view.keys]
    bucket = F.pmod(F.xxhash64(*keys), F.lit(buckets)).cast("int").alias(_BUCKET)
    asked = rows.select(bucket, ROW, AS_OF, *keys).groupBy(_BUCKET)
    kept = tiles.select(bucket, *keys, TILE_START, *(_column(column.name) for column in view.tile_columns)).groupBy(_BUCKET)
    folder = Folder(view=view)
    types = ", ".join([f"`{ROW}` BIGINT", *(f"`{feature.name}` {feature.type.spark}" for feature in view.features)])
    return asked.cogroup(kept).applyInArrow(partial(_fold_bucket, folder), types)


def _fold_bucket(folder: Folder, requests: Any, tiles: Any) -> Any:
    return folder(requests, tiles)


def _with_request_features(rows: DataFrame, service: ServicePlan) -> DataFrame:
    """The features that the request itself gives; one named as a field is that field."""
    own = [F.expr(f.expression.sql("spark")).alias(f.name) for f in service.request_features if f.name not in service.request.columns]
    return rows.select("*", *own)


def _with_derived(result: DataFrame, service: ServicePlan) -> DataFrame:
    """What functions make of the other features, batch by batch, as the online reader does."""
    schema = T.StructType([*result.schema.fields, *(T.StructField(feature.name, T.DoubleType()) for feature in service.derived)])
    return result.mapInArrow(partial(_derive, service.derived), schema)


def _derive(features: tuple[DerivedFeature, ...], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        columns: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
        yield pa.RecordBatch.from_pydict(columns | {feature.name: feature.evaluate(columns) for feature in features})


def _with_label(result: DataFrame, service: ServicePlan, label: LabelPlan, relation: history.Relation) -> DataFrame:
    """`label` beside the request that has its id: of several events the latest, null values passed over."""
    value = F.expr(label.value.sql("spark"))
    when = F.struct(_column(label.source.event_time), value)
    happened = history.refuse(relation.rows, relation.schema).where(value.isNotNull())
    latest = happened.groupBy(_column(label.on).alias("#on")).agg(F.max_by(value, when).alias(LABEL))
    assert service.request.id is not None
    return result.join(latest, _column(service.request.id) == F.col("`#on`"), "left")


def _columns(result: DataFrame, backfill: Backfill) -> DataFrame:
    """The columns of the output, and where each row was read."""
    service = backfill.service
    names = [*service.request.columns, *(name for name in service.feature_types if name not in service.request.columns)]
    ends = [_boundary(view) for view in service.views]
    frontier = F.least(*ends) if len(ends) > 1 else ends[0] if ends else F.col(AS_OF)
    own = [F.timestamp_millis(frontier).alias(FRONTIER), F.lit(False).alias(STALE)]
    label = [_column(LABEL)] if backfill.label else []
    return result.select(*map(_column, names), *own, *label, history.FILE, history.POSITION)


def _boundary(view: ViewPlan) -> Column:
    """`b` of the plan: an exact read needs the tiles up to here."""
    due = F.col(AS_OF) - F.lit(view.delay_ms)
    return due - F.pmod(due, F.lit(view.tile_ms))


def _write(result: DataFrame, folder: Path, rows: int) -> None:
    """In the order of the requests; few large files."""
    order = [history.FILE, history.POSITION]
    ordered = result.repartition(1).sortWithinPartitions(*order) if rows <= _ROWS_PER_FILE else result.orderBy(*order)
    ordered.drop(*order).write.mode("append").parquet(str(folder))
    for path in [*folder.glob("_SUCCESS"), *folder.glob(".*.crc")]:
        path.unlink()


def _manifest(backfill: Backfill, outcome: Outcome) -> dict[str, object]:
    return {
        "service": backfill.service.name,
        "service_version": backfill.service.fingerprint,
        "views": {view.name: view.fingerprint for view in backfill.service.views},
        "as_known": backfill.as_known,
        "from_ms": backfill.from_ms,
        "until_ms": backfill.until_ms,
        "rows": outcome.rows,
        "read": [
            {"name": t.name, "rows": t.rows, "refused": t.refused, "reasons": {k: v for k, v in t.reasons.items() if v}}
            for t in outcome.tallies
        ],
        "files": {name: [{"path": str(path), "bytes": path.stat().st_size} for path in files] for name, files in outcome.files.items()},
        "code_version": importlib.metadata.version("tidemark"),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _column(name: str) -> Column:
    return F.col(f"`{name}`")


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["backfill", *sys.argv[1:]]))
