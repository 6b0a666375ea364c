"""Tiles and closings into the online store: the job of `tidemark submit materialize`.

tiles topics, frontier topic ─▶ inference.materializer ─▶ Feast's layout in Redis, frontiers; what cannot be read ─▶ `<topic>.dlq`

At least once, which is enough: writing a tile or taking in a closing again changes nothing. Without a checkpoint it reads the
tiles topics from their beginning. Each generation of the store is written by a job of its own, so that none is handed over.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from features.catalog import load
from features.plan import FRONTIER_TOPIC, Plan, ViewPlan
from inference.feast_registry import registry
from inference.materializer import Materializer
from inference.online.active_generation import project_of
from inference.online.connection import connect
from inference.online.losses import refuse_losses
from inference.online.marks import Began, Marks, spans_of
from inference.online.writer import TileWriter, reject_ttl_with_lifetime
from infra.settings import Settings
from jobs.control import deployed
from jobs.control.deployed import record_materialize_job, refuse_other_tiles
from jobs.control.generations import job_name, read_active
from jobs.flink.pipeline import BatchResult, Pipeline, PlacedFunction
from jobs.kafka import admin
from jobs.kafka.connection import Connection
from jobs.kafka.tile_log import TileLog
from schemas.errors import DefinitionError
from schemas.schema import SHIPPED, SchemaSet


class MaterializeFunction(PlacedFunction):
    """Raw tiles and closings → the store. Nothing is answered; what cannot be read is refused."""

    metrics = ("tiles", "closings", "dead_letters", "stores_lost")

    def __init__(self, *, views: tuple[ViewPlan, ...], schemas: SchemaSet, settings: Settings, generation: int) -> None:
        """Keep what the worker needs; nothing is opened yet."""
        self._views = views
        self._generation = generation
        self._schemas = schemas
        self._settings = settings

    def start(self) -> None:
        """Connect to the store."""
        settings, project = self._settings, project_of(self._generation)
        store = connect(settings.redis_url)
        forgets = settings.online_loss == "stale" and store.evicts() is not None
        writers = {
            view.name: TileWriter(
                view, store, project=project, slack_ms=settings.tile_slack_ms, ttl_ms=settings.online_ttl_ms, forgets=forgets
            )
            for view in self._views
        }
        frontiers = store.frontiers(project=project)
        log = TileLog(kafka=Connection.of(settings), views=self._views, schemas=self._schemas)
        marks = Marks(frontiers=frontiers, views=self._views, log=log, began=self._began, forgets=forgets)
        self._lost = 0
        self._materializer = Materializer(views=self._views, writers=writers, frontiers=frontiers, schemas=self._schemas, marks=marks)

    def process(
        self, topics: Sequence[str], bodies: Sequence[bytes | None], partitions: Sequence[int], offsets: Sequence[int]
    ) -> BatchResult:
        """Write a batch."""
        stored = self._materializer.write(topics, bodies, spans_of(topics, partitions, offsets))
        nothing = [None] * len(bodies)
        refused = sum(reason is not None for reason in stored.reasons)
        lost, self._lost = self._lost, 0
        return BatchResult(
            keys=nothing,
            values=nothing,
            reasons=stored.reasons,
            counts={"tiles": stored.tiles, "closings": stored.closings, "dead_letters": refused, "stores_lost": lost},
        )

    def _began(self, store: Began) -> None:
        """A store has begun: say so where it is remembered when the store is not."""
        deployed.began(self._settings, self._generation, store)
        read_active(self._settings, connect(self._settings.redis_url))  # the record of what is served is lost with the rest
        if store.lost:
            self._lost += 1
            self._log.error(
                "the store has lost data (generation %d, now %s): %s; windows that begin before it is whole again are served stale until `tidemark rebuild --switch`",
                self._generation,
                store.incarnation,
                store.lost,
            )


def pipeline(settings: Settings, plan: Plan, *, generation: int = 1) -> Pipeline:
    """The job for all views of a plan, into a generation of the store.

    Raises:
        DefinitionError: There is no view.
        SettingError: Entities are to be forgotten, and a view has `Lifetime` features.
    """
    if not plan.views:
        raise DefinitionError("materialize: the definitions declare no feature view; there is nothing to do")
    reject_ttl_with_lifetime(plan.views.values(), settings.online_ttl_ms)
    views = tuple(plan.views[name] for name in sorted(plan.views))
    return Pipeline(
        name=job_name(generation),
        topics=(*(view.tiles_topic for view in views), FRONTIER_TOPIC),
        answers=None,
        function=MaterializeFunction(
            views=views,
            schemas=SchemaSet.load(settings.schemas or SHIPPED),
            settings=settings.without_secrets(),
            generation=generation,
        ),
        from_earliest=True,
    )


def main(arguments: Sequence[str] = ()) -> None:
    """The driver, run by `jobs.flink.driver` inside Flink's client."""
    parser = argparse.ArgumentParser(prog="tidemark submit materialize")
    parser.add_argument("--generation", type=int, help="Of the store; the one that is served when not given.")
    given = parser.parse_args(arguments).generation
    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    store = connect(settings.redis_url)
    generation = read_active(settings, store).generation if given is None else given
    job = pipeline(settings, plan, generation=generation)
    refuse_other_tiles(settings, plan.views.values())
    refuse_losses(store, plan.views.values(), loss=settings.online_loss)
    admin.ensure(settings, plan)
    registry(plan, redis=settings.redis_url, folder=settings.home / "feast", project=project_of(generation))
    job.submit(settings)
    record_materialize_job(settings, generation, tuple(plan.views.values()))
