"""`tidemark switch`: another generation of the store is served, once it is proven to hold what the one that is served does."""

from __future__ import annotations

from typing import Annotated

import typer

from features.catalog import load
from inference.online.connection import connect
from infra.settings import Settings
from jobs.generations.switch import switch

COMMANDS = {"switch": "Serve another generation of the store"}


def command(
    generation: Annotated[int | None, typer.Argument(min=1, help="Which; the one after that which is served when not given")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the other generation and its job as they are, to switch back to")] = False,
    despite: Annotated[
        bool, typer.Option("--despite-differences", help="Switch also where they differ, e.g. since the one that is served is damaged")
    ] = False,
) -> int:
    """Serve another generation of the store, if it holds the same; then end and remove the one that was served before.

    Exit code 1 and no switch where they differ.
    """
    settings = Settings.load()
    views = tuple(load(settings.definitions, settings.schemas).views.values())
    return 0 if switch(settings, connect(settings.redis_url), views, generation, keep=keep, despite=despite) else 1
