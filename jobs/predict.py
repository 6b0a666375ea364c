"""`spark-submit jobs/predict.py SERVICE …`, also `tidemark predict SERVICE …`: history scored by the model that scores the stream.

requests, events ─jobs.spark.backfill─▶ features ─inference.batch─▶ predictions, a Parquet file per day, with the columns of `predictions.parquet`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

if __name__ == "__main__" and sys.path and sys.path[0] == str(Path(__file__).parent):
    sys.path[0] = str(Path(__file__).parent.parent)  # a script finds its own folder first; ours is the project

import typer

from features.catalog import load, service_named
from inference.batch import BatchScorer
from inference.model.loading import load_for
from infra.settings import Settings
from jobs.report.command import guarded, run
from jobs.spark.backfill import run_and_tell
from jobs.spark.options import AsKnown, Events, From, Overwrite, Requests, Until, asked
from schemas.machine_code import keep_in

COMMANDS = {"predict": "Score history with a model"}
NEEDS = {"predict": ("spark",)}


def command(
    service: Annotated[str, typer.Argument(help="A feature service of the definitions")],
    events: Events,
    requests: Requests,
    model: Annotated[Path, typer.Option(help="Folder of the model, which Spark's workers see as well")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder to write, a file per day: request columns, features, score (scores of several classes), model, frontier, stale"
        ),
    ],
    as_known: AsKnown = False,
    from_: From = None,
    until: Until = None,
    overwrite: Overwrite = False,
) -> int:
    """Score requests from history, as of each one's event time. Run it again to continue one that was stopped."""
    settings = Settings.load()
    plan = service_named(service, load(settings.definitions, settings.schemas))
    folder = model.absolute()
    keep_in(settings.machine_code)
    version = load_for(plan, folder, shard_memory_bytes=settings.shard_memory_bytes).version
    scoring = BatchScorer(
        service=plan,
        model=folder,
        version=version,
        shard_memory_bytes=settings.shard_memory_bytes,
        machine_code=settings.machine_code,
    )
    backfill = asked(plan, settings, events=events, requests=requests, as_known=as_known, from_=from_, until=until, scoring=scoring)
    return run_and_tell(backfill, out, settings, overwrite=overwrite)


if __name__ == "__main__":
    sys.exit(guarded(lambda: run(command, sys.argv[1:], name="tidemark predict")))
