"""Requests scored as they come: the job of `tidemark submit score SERVICE --model DIR`.

requests topic ─▶ inference.scorer (─▶ inference.stages, one by one) ─▶ `<service>.predictions`, keyed by request id; malformed requests ─▶ `<requests topic>.dlq`
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from features import catalog
from features.catalog import service_named
from features.plan import ServicePlan
from inference.model.manifest import Manifest
from inference.scoring import Scoring
from infra.settings import Settings
from jobs.control.code_version import code_version
from jobs.control.deployed import record_score_job
from jobs.flink.pipeline import CHECKPOINT_TIMEOUT_MS, BatchFunction, BatchResult, Pipeline, StageFunction
from jobs.kafka import admin
from jobs.kafka.admin import broker_setting
from jobs.kafka.connection import Connection
from jobs.kafka.decoding import decoder
from schemas.errors import SettingError
from schemas.schema import SHIPPED, SchemaSet
from schemas.wording import span

RESTART_MS = 120_000  # what a lost worker, its replacement and the restore may take


class ScoreFunction(BatchFunction):
    """Raw requests → predictions, or what the next stage of the model is to go on with."""

    metrics = ("predictions", "dead_letters", "stale", "unseen", "missing_shard", "shard_loads")

    def __init__(self, scoring: Scoring, settings: Settings) -> None:
        """Keep what the worker needs; nothing is opened yet."""
        self._scoring = scoring
        self._settings = settings

    def start(self) -> None:
        """Load the model and connect to the store."""
        scoring = self._scoring
        self._scorer = scoring.scorer(*scoring.first(), decoder(scoring.service.request, scoring.schemas, self._settings))

    def process(self, bodies: Sequence[bytes | None]) -> BatchResult:
        """Answer a batch of requests."""
        answers = self._scorer.answer(bodies)
        return BatchResult(
            keys=answers.ids,
            values=answers.values,
            reasons=answers.reasons,
            counts={
                "predictions": answers.predictions,
                "dead_letters": answers.dead_letters,
                "stale": answers.stale,
                "unseen": answers.unseen,
                "missing_shard": answers.missing_shard,
                "shard_loads": answers.shard_loads,
            },
        )


class TreesFunction(StageFunction):
    """A later stage of a model that is cut by its trees."""

    metrics = ("dead_letters", "shard_loads")

    def __init__(self, scoring: Scoring, number: int) -> None:
        """Keep what the worker needs; nothing is opened yet."""
        self._scoring = scoring
        self._number = number

    def start(self) -> None:
        """Read the manifest; trees are loaded when they are needed."""
        self._stage = self._scoring.later(self._number)

    def continue_batch(self, keys: Sequence[bytes], values: Sequence[bytes]) -> BatchResult:
        """Add this stage's trees to the sums of a batch."""
        passed = self._stage.continue_batch(values)
        refused = sum(reason is not None for reason in passed.reasons)
        return BatchResult(
            keys=keys, values=passed.values, reasons=passed.reasons, counts={"dead_letters": refused, "shard_loads": passed.loads}
        )


def pipeline(settings: Settings, plan: ServicePlan, *, model: Path) -> Pipeline:
    """The job for one service and one model, checked as far as that goes without the cluster.

    Raises:
        TidemarkError: A model or settings that cannot work; one clear line.
    """
    settings, folder = settings.without_secrets(), model.absolute()
    manifest = Manifest.read(folder)
    scoring = Scoring(
        service=plan,
        schemas=SchemaSet.load(settings.schemas or SHIPPED),
        store=settings.redis_url,
        model=folder,
        version=manifest.version,
        code=code_version(),
        shard_memory_bytes=settings.shard_memory_bytes,
        machine_code=settings.machine_code,
    )
    scoring.scorer(*scoring.checked(), decoder(plan.request, scoring.schemas, settings))
    return Pipeline(
        name=f"score-{plan.name}",
        topics=(plan.request.topic,),
        answers=plan.predictions_topic,
        function=ScoreFunction(scoring, settings),
        stages=tuple(TreesFunction(scoring, number) for number in range(1, len(manifest.stages))),
        transactions_ms=transaction_timeout_ms(settings) if settings.delivery == "exactly_once" else None,
    )


def transaction_timeout_ms(settings: Settings) -> int:
    """How long Kafka may keep a transaction open: the longest that the broker allows.

    A transaction is open from one checkpoint to the end of the next, and over a restart; one that the broker ends in between is lost.

    Raises:
        ServiceError: The broker does not answer.
        SettingError: The broker's longest is too short.
    """
    needed = settings.checkpoint_interval_ms + CHECKPOINT_TIMEOUT_MS + RESTART_MS
    allowed = int(broker_setting(Connection.of(settings), "transaction.max.timeout.ms"))
    if needed > allowed:
        raise SettingError(
            f"TIDEMARK_DELIVERY: exactly_once needs transactions of {span(needed)} (a checkpoint interval, its completion, a restart), "
            f"but the broker's transaction.max.timeout.ms is {span(allowed)}; "
            "raise that, lower TIDEMARK_CHECKPOINT_INTERVAL, or use at_least_once"
        )
    return allowed


def main(arguments: Sequence[str]) -> None:
    """The driver, run by `jobs.flink.driver` inside Flink's client."""
    parser = argparse.ArgumentParser(prog="tidemark submit score")
    parser.add_argument("service")
    parser.add_argument("--model", type=Path, required=True)
    given = parser.parse_args(arguments)
    settings = Settings.load()
    plan = catalog.load(settings.definitions, settings.schemas)
    service = service_named(given.service, plan)
    job = pipeline(settings, service, model=given.model)
    admin.ensure(settings, plan)
    job.submit(settings)
    manifest = Manifest.read(given.model)
    record_score_job(settings, service, model=manifest.name, model_version=manifest.version)
