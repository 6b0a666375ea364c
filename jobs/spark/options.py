"""The options that `backfill` and `predict` share, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from features.plan import ServicePlan
from infra.settings import Settings
from jobs.spark.backfill import Backfill
from jobs.spark.daily_writer import FeatureScorer
from schemas.schema import SHIPPED, SchemaSet
from schemas.times import instant_ms

Events = Annotated[
    str,
    typer.Option(
        help="Folder with one folder per source, named as the source, of Parquet files; or kafka: the sources' topics, where ./kafka is a folder"
    ),
]
Requests = Annotated[Path, typer.Option(help="Parquet file of requests, or a folder of them: the fields of the request schema")]
AsKnown = Annotated[bool, typer.Option("--as-known", help="Count late events too; otherwise as served, without them")]
From = Annotated[str | None, typer.Option("--from", help="Only requests from this time on, e.g. 2013-01-01", metavar="TIME")]
Until = Annotated[str | None, typer.Option(help="Only requests before this time", metavar="TIME")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Begin --out anew; otherwise days that are done are kept")]


def events_of(said: str) -> Path | None:
    """What `--events` says: a folder; None: `kafka`, the sources' topics. A folder of that name is `./kafka`."""
    return None if said == "kafka" else Path(said)


def asked(
    service: ServicePlan,
    settings: Settings,
    *,
    events: str,
    requests: Path,
    as_known: bool,
    from_: str | None,
    until: str | None,
    label: bool = False,
    scoring: FeatureScorer | None = None,
) -> Backfill:
    """What the options ask for.

    Raises:
        SettingError: No such time, no time at all, or a label that the service does not have.
    """
    return Backfill(
        service=service,
        schemas=SchemaSet.load(settings.schemas or SHIPPED),
        events=events_of(events),
        requests=requests,
        as_known=as_known,
        label=label,
        scoring=scoring,
        from_ms=None if from_ is None else instant_ms(from_),
        until_ms=None if until is None else instant_ms(until),
        range_rows=settings.backfill_range_rows,
        group_rows=settings.backfill_group_rows,
    )
