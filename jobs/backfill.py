"""`spark-submit jobs/backfill.py …`, also `tidemark backfill …`: the features of requests from history, as of each one's event time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

if __name__ == "__main__" and sys.path and sys.path[0] == str(Path(__file__).parent):
    sys.path[0] = str(Path(__file__).parent.parent)  # a script finds its own folder first; ours is the project

import typer

from features.catalog import load, service_named
from infra.settings import Settings
from jobs.report.command import guarded, run
from jobs.spark.backfill import run_and_tell
from jobs.spark.options import AsKnown, Events, From, Overwrite, Requests, Until, asked

COMMANDS = {"backfill": "Compute a service's features from history"}
NEEDS = {"backfill": ("spark",)}


def command(
    service: Annotated[str, typer.Option(help="A feature service of the definitions")],
    events: Events,
    requests: Requests,
    out: Annotated[Path, typer.Option(help="Folder to write, a file per day: request columns, features, frontier, stale")],
    as_known: AsKnown = False,
    label: Annotated[bool, typer.Option("--label", help="Add the column label: what then happened, null where unknown")] = False,
    from_: From = None,
    until: Until = None,
    overwrite: Overwrite = False,
) -> int:
    """Compute a service's features from history, as of each request's event time. Run it again to continue one that was stopped."""
    settings = Settings.load()
    plan = service_named(service, load(settings.definitions, settings.schemas))
    backfill = asked(plan, settings, events=events, requests=requests, as_known=as_known, from_=from_, until=until, label=label)
    return run_and_tell(backfill, out, settings, overwrite=overwrite)


if __name__ == "__main__":
    sys.exit(guarded(lambda: run(command, sys.argv[1:], name="tidemark backfill")))
