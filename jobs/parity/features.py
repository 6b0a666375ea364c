"""Predictions beside what Spark computes of the same requests: staged, recomputed, compared bucket by bucket, and the tiles of what differs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from features.plan import ServicePlan
from inference.prediction import id_field
from infra.settings import Settings
from jobs.parity import archive, staging
from jobs.parity.buckets import BUCKET, into_buckets
from jobs.parity.comparison import EXAMPLES, compare
from jobs.parity.evidence import Evidence, evidence_of
from jobs.parity.findings import Parity, Timeline
from jobs.parity.staging import Staging
from jobs.parity.tiles import Sessions, Steps
from jobs.spark.history import ORDER, History
from jobs.spark.session import session
from schemas.errors import DataError
from schemas.parquet import parquet_files
from schemas.schema import SchemaSet


@dataclass(frozen=True, kw_only=True)
class ParityRequest:
    """What to compare.

    Attributes:
        service: Whose predictions.
        settings: Of the services.
        schemas: Of the sources.
        events: Folder of history; None: the archive in the home, once it holds all that the topics do.
        predictions: Parquet file of predictions; None: the service's topic.
        requests: Parquet file or folder of requests; None: the topic, where the predictions come from theirs; otherwise nobody knows.
        from_ms, until_ms: Only requests with event times in `[from, until)`.
        sample: How many requests to recompute; None: all.
        as_known: Count late events too.
        examples: How many to keep of each feature and kind of case.
    """

    service: ServicePlan
    settings: Settings
    schemas: SchemaSet
    events: Path | None = None
    predictions: Path | None = None
    requests: Path | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    sample: int | None = None
    as_known: bool = False
    examples: int = EXAMPLES

    @property
    def history(self) -> Path:
        """Where the events are."""
        return self.settings.home / "archive" if self.events is None else self.events


@dataclass(frozen=True, kw_only=True)
class ParityResult:
    """What came out.

    Attributes:
        parity: The findings.
        evidence: Of each example, in the order of `parity`'s columns and their examples: the tiles on both sides.
        low_ms, high_ms: The first and last as-of time of the predictions.
        requests_known: Whether requests were there to miss predictions for.
        recomputed: How many requests were recomputed.
        skipped: Predictions that were read and left out, by reason.
    """

    parity: Parity
    evidence: tuple[Evidence, ...]
    low_ms: int
    high_ms: int
    requests_known: bool
    recomputed: int
    skipped: dict[str, int]


def answer(question: ParityRequest, work: Path, stages: Steps, *, spark: Sessions = session) -> ParityResult:
    """Compare.

    Args:
        question: What.
        work: An empty folder for what lies between, which Spark's workers reach.
        stages: Shows progress.
        spark: Starts a session, and ends it with its block.

    Raises:
        TidemarkError: Something that cannot be read, in one line.
    """
    service = question.service
    id_field(service)
    live = question.predictions is None and question.requests is None
    ends: dict[int, int] = {}
    with stages("reading requests"):
        requests = _requests(question, work / "requests", ends)
    with stages("reading predictions"):
        predictions = _predictions(question, work / "predictions")
        if requests is not None and live:  # those that were made meanwhile are known, and need not be answered yet
            staging.requests_of_topic(requests, question.settings, service, question.schemas, after=ends)
    assert predictions.low_ms is not None
    assert predictions.high_ms is not None
    if question.events is None and question.predictions is None:
        with stages("waiting for the archive"):
            sources = {view.source.name: view.source for view in service.views}
            archive.wait(question.settings, sources.values(), question.schemas, question.history, waiting=lambda _: None)
    again = work / "again"
    with stages("starting Spark"), spark(f"tidemark parity {service.name}") as running:
        past = History(spark=running, schemas=question.schemas, events=question.history, as_known=question.as_known)
        with stages("recomputing features"):
            past.features(service, predictions.folder, again, sample=question.sample)
        timeline = Timeline.empty(predictions.low_ms, predictions.high_ms + 1)
        with stages("comparing"):
            parity = _compared(question, running, predictions, requests, again, timeline)
        examples = [example for column in parity.columns for example in column.examples]
        if not examples:
            evidence: list[Evidence] = []
        else:
            with stages("fetching the tiles of what differs"):
                evidence = evidence_of(service, examples, past, question.settings, work / "tiles")
    return ParityResult(
        parity=parity,
        evidence=tuple(evidence),
        low_ms=predictions.low_ms,
        high_ms=predictions.high_ms,
        requests_known=requests is not None,
        recomputed=sum(pq.read_metadata(file).num_rows for file in parquet_files(again)),
        skipped=predictions.skipped,
    )


def _predictions(question: ParityRequest, folder: Path) -> Staging:
    service, request = question.service, question.service.request
    schema = staging.prediction_schema(service)
    stage = Staging(folder=folder, schema=schema, time=request.event_time, from_ms=question.from_ms, until_ms=question.until_ms)
    if question.predictions is None:
        staging.predictions_of_topic(stage, question.settings, service, question.schemas)
    else:
        staging.predictions_of_file(stage, question.predictions, service)
    if not stage.rows:
        where = question.predictions or f"topic {service.predictions_topic}"
        others = "".join(f"; {count:,} were {reason}" for reason, count in stage.skipped.items())
        raise DataError(f"parity: {where} has no predictions of these times{others}; nothing can be compared")
    return stage


def _requests(question: ParityRequest, folder: Path, ends: dict[int, int]) -> Staging | None:
    """The requests, where they are to be had; of a topic also how far it was read."""
    service, request = question.service, question.service.request
    schema = staging.request_schema(service)
    stage = Staging(folder=folder, schema=schema, time=request.event_time, from_ms=question.from_ms, until_ms=question.until_ms)
    if question.requests is not None:
        return staging.requests_of_files(stage, question.requests, question.schemas.current(request.schema))
    if question.predictions is None:
        ends |= staging.requests_of_topic(stage, question.settings, service, question.schemas)
        return stage
    return None


def _compared(
    question: ParityRequest, spark: SparkSession, predictions: Staging, requests: Staging | None, again: Path, timeline: Timeline
) -> Parity:
    """Bucket by bucket, so that no more than that is in memory."""
    identity = id_field(question.service)
    folders = [predictions.folder, again, *([] if requests is None else [requests.folder])]
    rows = max(predictions.rows, 0 if requests is None else requests.rows)
    buckets = into_buckets(spark, folders, identity, rows)
    found = []
    for bucket in range(buckets):
        served, recomputed, *asked = (_bucket(folder, bucket) for folder in folders)
        parity = compare(
            question.service,
            served.sort_by(ORDER),
            recomputed,
            requests=asked[0] if asked else None,
            sampled=question.sample is not None,
            timeline=timeline,
            examples=question.examples,
        )
        found.append(parity)
    return reduce(lambda one, other: one.merged(other, question.examples), found)


def _bucket(folder: Path, bucket: int) -> pa.Table:
    """The rows of one bucket; no rows, but their columns, where it has none."""
    own = folder.with_name(f"{folder.name}-buckets") / f"{BUCKET}={bucket}"
    files = parquet_files(own) if own.is_dir() else ()
    if not files:
        return pq.read_schema(parquet_files(folder)[0]).empty_table()
    return pa.concat_tables([pq.ParquetFile(file).read() for file in files])
