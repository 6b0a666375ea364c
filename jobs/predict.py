"""`spark-submit jobs/predict.py SERVICE …`, also `tidemark predict SERVICE …`: history scored by the model that scores the stream.

requests, events ─jobs/backfill─▶ features ─inference.batch─▶ predictions, a Parquet file per day, with the columns of `predictions.parquet`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

if __name__ == "__main__" and sys.path and sys.path[0] == str(Path(__file__).parent):
    sys.path[0] = str(Path(__file__).parent.parent)  # a script finds its own folder first; ours is the project

import typer

from features.catalog import load
from inference.batch import BatchScorer
from inference.model import load_for
from infra.settings import Settings
from jobs.backfill import Backfill, events_of, run_and_tell
from jobs.features_read import service_named
from schemas.record import SHIPPED, SchemaSet
from schemas.times import instant_ms


def command(
    service: Annotated[str, typer.Argument(help="A feature service of the definitions")],
    events: Annotated[
        str,
        typer.Option(
            help="Folder with one folder per source, named as the source, of Parquet files; or kafka: the sources' topics, where ./kafka is a folder"
        ),
    ],
    requests: Annotated[Path, typer.Option(help="Parquet file of requests, or a folder of them: the fields of the request schema")],
    model: Annotated[Path, typer.Option(help="Folder of the model, which Spark's workers see as well")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder to write, a file per day: request columns, features, score (scores of several classes), model, frontier, stale"
        ),
    ],
    as_known: Annotated[bool, typer.Option("--as-known", help="Count late events too; otherwise as served, without them")] = False,
    from_: Annotated[str | None, typer.Option("--from", help="Only requests from this time on, e.g. 2013-01-01", metavar="TIME")] = None,
    until: Annotated[str | None, typer.Option(help="Only requests before this time", metavar="TIME")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin --out anew; otherwise days that are done are kept")] = False,
) -> int:
    """Score requests from history, as of each one's event time. Run it again to continue one that was stopped."""
    settings = Settings.load()
    plan = service_named(service, load(settings.definitions, settings.schemas))
    folder = model.absolute()
    version = load_for(plan, folder, shard_memory_bytes=settings.shard_memory_bytes).version
    backfill = Backfill(
        service=plan,
        schemas=SchemaSet.load(settings.schemas or SHIPPED),
        events=events_of(events),
        requests=requests,
        as_known=as_known,
        scoring=BatchScorer(service=plan, model=folder, version=version, shard_memory_bytes=settings.shard_memory_bytes),
        from_ms=None if from_ is None else instant_ms(from_),
        until_ms=None if until is None else instant_ms(until),
        range_rows=settings.backfill_range_rows,
        group_rows=settings.backfill_group_rows,
    )
    return run_and_tell(backfill, out, settings, overwrite=overwrite)


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(["predict", *sys.argv[1:]]))
