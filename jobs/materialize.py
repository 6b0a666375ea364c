"""Tiles and closings into the online store: the job of `tidemark submit materialize`.

tiles topics, frontier topic ─▶ inference.materializer ─▶ Feast's layout in Redis, frontiers; what cannot be read ─▶ `<topic>.dlq`

At least once, which is enough: writing a tile or taking in a closing again changes nothing. Without a checkpoint it reads the
tiles topics from their beginning. Each generation of the store is written by a job of its own, so that none is handed over.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from features.catalog import load
from features.compiler.plan import FRONTIER_TOPIC, Plan, ViewPlan
from inference.feast_registry import registry
from inference.materializer import Materializer
from inference.online.connection import connect
from inference.online.frontier import Frontiers
from inference.online.serving import project_of
from inference.online.store import TileWriter, refuse_forgetting
from infra.settings import Settings
from jobs import topics
from jobs.applied import refuse_other_tiles, stores
from jobs.generations import job_name, served
from jobs.pipeline import BatchFunction, Outcome, Pipeline
from schemas.errors import DefinitionError
from schemas.record import SHIPPED, SchemaSet


class MaterializeFunction(BatchFunction):
    """Raw tiles and closings → the store. Nothing is answered; what cannot be read is refused."""

    metrics = ("tiles", "closings", "dead_letters")

    def __init__(self, *, views: tuple[ViewPlan, ...], schemas: SchemaSet, settings: Settings, project: str) -> None:
        """Keep what the worker needs; nothing is opened yet."""
        self._views = views
        self._project = project
        self._schemas = schemas
        self._settings = settings

    def start(self) -> None:
        """Connect to the store."""
        redis = connect(self._settings.redis_url)
        slack_ms, ttl_ms = self._settings.tile_slack_ms, self._settings.online_ttl_ms
        writers = {view.name: TileWriter(view, redis, project=self._project, slack_ms=slack_ms, ttl_ms=ttl_ms) for view in self._views}
        frontiers = Frontiers(redis, project=self._project)
        self._materializer = Materializer(views=self._views, writers=writers, frontiers=frontiers, schemas=self._schemas)

    def process(self, topics: Sequence[str], bodies: Sequence[bytes | None]) -> Outcome:
        """Write a batch."""
        stored = self._materializer.write(topics, bodies)
        nothing = [None] * len(bodies)
        refused = sum(reason is not None for reason in stored.reasons)
        return Outcome(
            keys=nothing,
            values=nothing,
            reasons=stored.reasons,
            counts={"tiles": stored.tiles, "closings": stored.closings, "dead_letters": refused},
        )


def pipeline(settings: Settings, plan: Plan, *, generation: int = 1) -> Pipeline:
    """The job for all views of a plan, into a generation of the store.

    Raises:
        DefinitionError: There is no view.
        SettingError: Entities are to be forgotten, and a view has `Lifetime` features.
    """
    if not plan.views:
        raise DefinitionError("materialize: the definitions declare no feature view; there is nothing to do")
    refuse_forgetting(plan.views.values(), settings.online_ttl_ms)
    views = tuple(plan.views[name] for name in sorted(plan.views))
    return Pipeline(
        name=job_name(generation),
        topics=(*(view.tiles_topic for view in views), FRONTIER_TOPIC),
        answers=None,
        function=MaterializeFunction(
            views=views, schemas=SchemaSet.load(settings.schemas or SHIPPED), settings=settings, project=project_of(generation)
        ),
        from_earliest=True,
    )


def main(arguments: Sequence[str] = ()) -> None:
    """The driver, run by `jobs.driver` inside Flink's client."""
    parser = argparse.ArgumentParser(prog="tidemark submit materialize")
    parser.add_argument("--generation", type=int, help="Of the store; the one that is served when not given.")
    given = parser.parse_args(arguments).generation
    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    generation = served(settings, connect(settings.redis_url)).generation if given is None else given
    job = pipeline(settings, plan, generation=generation)
    refuse_other_tiles(settings, plan.views.values())
    topics.ensure(settings, plan)
    registry(plan, redis=settings.redis_url, folder=settings.home / "feast", project=project_of(generation))
    job.submit(settings)
    stores(settings, generation, tuple(plan.views.values()))
