"""Requests scored as they come: the job of `tidemark submit score SERVICE --model DIR`.

requests topic ─▶ inference.scorer ─▶ `<service>.predictions`, keyed by request id; malformed requests ─▶ `<requests topic>.dlq`
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from features import catalog
from features.compiler.plan import ServicePlan
from features.data_version import CodeVersion
from inference.model import MANIFEST_FILE, LoadedModel, load, load_for
from inference.online.connection import connect
from inference.online.reader import OnlineReader
from inference.prediction import PredictionEncoder, id_field
from inference.scorer import Scorer
from infra.settings import Settings
from jobs import topics
from jobs.applied import scores
from jobs.code_version import code_version
from jobs.features_read import service_named
from jobs.pipeline import CHECKPOINT_TIMEOUT_MS, BatchFunction, Outcome, Pipeline
from jobs.source_decoder import decoder
from jobs.topics import broker_setting
from schemas.errors import SettingError
from schemas.record import SHIPPED, SchemaSet

RESTART_MS = 120_000  # what a lost worker, its replacement and the restore may take


class ScoreFunction(BatchFunction):
    """Raw requests → predictions. Carries the plan that it was submitted with; the worker loads the model and connects."""

    metrics = ("predictions", "dead_letters", "stale", "unseen", "missing_shard", "shard_loads")

    def __init__(
        self, *, service: ServicePlan, schemas: SchemaSet, settings: Settings, model: Path, model_version: str, code: CodeVersion
    ) -> None:
        """Keep what the worker needs; nothing is opened yet."""
        self._service = service
        self._schemas = schemas
        self._settings = settings
        self._model = model
        self._model_version = model_version
        self._code = code

    def start(self) -> None:
        """Load the model, which must still be the one that was submitted, and connect to the store."""
        model = load(self._model, version=self._model_version, shard_memory_bytes=self._settings.shard_memory_bytes)
        self._scorer = scorer(self._service, self._schemas, self._settings, model, self._code)

    def process(self, topics: Sequence[str], bodies: Sequence[bytes | None]) -> Outcome:
        """Answer a batch of requests."""
        answers = self._scorer.answer(bodies)
        return Outcome(
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


def scorer(service: ServicePlan, schemas: SchemaSet, settings: Settings, model: LoadedModel, code: CodeVersion) -> Scorer:
    """Put the parts together for one service."""
    request = service.request
    id_field(service)
    encoder = PredictionEncoder(
        schema=schemas.current("prediction"),
        service=service.name,
        service_version=service.fingerprint,
        model=model.name,
        model_version=model.version,
        data_version=model.data_version,
        code_version=str(code),
    )
    reader = OnlineReader(service, connect(settings.redis_url))
    return Scorer(service=service, decoder=decoder(request, schemas, settings), reader=reader, model=model, encoder=encoder)


def pipeline(settings: Settings, plan: ServicePlan, *, model: Path) -> Pipeline:
    """The job for one service and one model, checked as far as that goes without the cluster.

    Raises:
        TidemarkError: A model or settings that cannot work; one clear line.
    """
    loaded = load_for(plan, model.absolute(), shard_memory_bytes=settings.shard_memory_bytes)
    code = code_version()
    schemas = SchemaSet.load(settings.schemas or SHIPPED)
    scorer(plan, schemas, settings, loaded, code)
    return Pipeline(
        name=f"score-{plan.name}",
        topics=(plan.request.topic,),
        answers=plan.predictions_topic,
        function=ScoreFunction(
            service=plan, schemas=schemas, settings=settings, model=model.absolute(), model_version=loaded.version, code=code
        ),
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
    allowed = int(broker_setting(settings.kafka_servers, "transaction.max.timeout.ms"))
    if needed > allowed:
        raise SettingError(
            f"TIDEMARK_DELIVERY: exactly_once needs transactions of {needed // 1000} s (a checkpoint interval, its completion, a restart), "
            f"but the broker's transaction.max.timeout.ms is {allowed // 1000} s; "
            "raise that, lower TIDEMARK_CHECKPOINT_INTERVAL, or use at_least_once"
        )
    return allowed


def main(arguments: Sequence[str]) -> None:
    """The driver, run by `jobs.driver` inside Flink's client."""
    parser = argparse.ArgumentParser(prog="tidemark submit score")
    parser.add_argument("service")
    parser.add_argument("--model", type=Path, required=True)
    given = parser.parse_args(arguments)
    settings = Settings.load()
    plan = catalog.load(settings.definitions, settings.schemas)
    service = service_named(given.service, plan)
    job = pipeline(settings, service, model=given.model)
    topics.ensure(settings, plan)
    job.submit(settings)
    manifest = json.loads((given.model / MANIFEST_FILE).read_text())  # which the pipeline has checked
    scores(settings, service, model=manifest["name"], model_version=manifest["version"])
