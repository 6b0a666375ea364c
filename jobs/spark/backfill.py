"""A backfill: the features, or the predictions, of requests from history, as of each one's event time.

Requests and events are counted by day; days are computed in ranges of so many rows (jobs/spark/point_in_time_join) and committed one by one (jobs/spark/daily_output).
What was committed stays: a run that was stopped is continued by running it again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from features.plan import ServicePlan, SourcePlan
from features.versions.data_version import DataVersion
from infra.settings import Settings
from jobs.control.code_version import code_version
from jobs.spark import checksums, kafka_source, lifetime, parquet_source
from jobs.spark.daily_output import WHOLE, Days, claim
from jobs.spark.daily_writer import FeatureScorer
from jobs.spark.inputs import REQUESTS, Inputs, happened
from jobs.spark.partitioning import DAY_MS, Range, ranges
from jobs.spark.point_in_time_join import RangeJoin
from jobs.spark.relation import Relation, between, census, refuse
from jobs.spark.run_summary import RunSummary
from jobs.spark.session import FAULTS, is_gone, is_refusal, reason, session
from schemas.errors import SettingError
from schemas.schema import SchemaSet
from schemas.times import show_ms

MANIFEST = WHOLE
"""What a backfill was made of, beside its Parquet files; only there when all days are."""


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """What to compute.

    Attributes:
        service: The feature service.
        schemas: Of its sources.
        events: Folder with one folder of Parquet files per source; None: the sources' topics.
        requests: Parquet file of requests, or a folder of them.
        as_known: Count late events too, instead of what was served.
        label: Add the column `label`: what then happened, null where unknown.
        scoring: Have a model score the features, and write predictions.
        from_ms, until_ms: Only requests with event times in `[from, until)`.
        range_rows: Requests and events that are computed between two commits, about.
        group_rows: Requests and tiles that a worker's process holds at once.
    """

    service: ServicePlan
    schemas: SchemaSet
    events: Path | None
    requests: Path
    as_known: bool = False
    label: bool = False
    scoring: FeatureScorer | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    range_rows: int = Settings.backfill_range_rows
    group_rows: int = Settings.backfill_group_rows

    @property
    def sources(self) -> tuple[SourcePlan, ...]:
        """Every source that a view or the label reads."""
        service = self.service
        sources = {view.source.name: view.source for view in service.views}
        if self.label and service.label is not None:
            sources |= {service.label.source.name: service.label.source}
        return tuple(sources.values())

    def __post_init__(self) -> None:
        """Refuse a label that the service does not have, and no time at all."""
        if self.label and self.service.label is None:
            raise SettingError(f'--label: the service "{self.service.name}" has no label=')
        if self.from_ms is not None and self.until_ms is not None and self.from_ms >= self.until_ms:
            raise SettingError(
                f"--from: {show_ms(self.from_ms)} is not before --until {show_ms(self.until_ms)}; allowed is an earlier time"
            )


def run_and_tell(backfill: Backfill, out: Path, settings: Settings, *, overwrite: bool) -> int:
    """Compute and write, print what was done; the exit code. Raises what `run` does."""
    summary = RunSummary()
    try:
        run(backfill, out, overwrite=overwrite, summary=summary, kafka=settings)
    finally:
        if summary.tallies:  # also when it is interrupted, or Spark is gone
            print("\n".join(summary.lines(out, "features" if backfill.scoring is None else "predictions")), flush=True)
    return 0 if summary.whole else 1


def run(backfill: Backfill, out: Path, *, overwrite: bool, summary: RunSummary, kafka: Settings) -> RunSummary:
    """Compute and write, in a session of its own; see `compute`.

    Args:
        backfill: What to compute.
        out: The folder to write.
        overwrite: Begin it anew, if it is one of ours.
        summary: Filled on the way, so that it tells how far an interrupted run came.
        kafka: Where the sources' topics are, if these are the events; all count then, as known.

    Raises:
        SettingError: A folder that is missing or not writable, or one that holds something else.
        DataError: Files that are not Parquet, or lack columns, or have others of wrong types.
        ServiceError: Spark does not start, or its cluster is gone.
    """
    claim(out)
    with session(f"tidemark backfill {backfill.service.name}") as spark:
        if backfill.events is not None:
            return compute(spark, backfill, out, overwrite=overwrite, summary=summary)
        with kafka_source.copied(spark, out, backfill.sources, backfill.schemas, kafka, overwrite=overwrite) as summary.topics:
            backfill = replace(backfill, events=summary.topics.folder, as_known=True)
            return compute(spark, backfill, out, overwrite=overwrite, summary=summary)


def compute(
    spark: SparkSession, backfill: Backfill, out: Path, *, overwrite: bool = False, summary: RunSummary | None = None
) -> RunSummary:
    """The features of every request, one Parquet file per day in the order of the requests; days that are done already are kept.

    A range of days that fails is told in the summary, and the others are computed all the same; but for what is refused in the files.

    Raises:
        SettingError: The folder is of other inputs, or something else, or not writable.
        DataError: Files that are not Parquet, or lack columns, or have others of wrong types.
    """
    started = time.monotonic()
    summary = RunSummary() if summary is None else summary
    relations = _relations(spark, backfill)
    made_of = _made_of(backfill, relations)
    out = out.absolute()
    with Days.open(out, made_of, overwrite=overwrite) as days:
        inputs = _inputs(backfill, relations, summary)
        summary.asked = inputs.days[REQUESTS]
        summary.done = {day: rows for day, rows in days.done().items() if day in summary.asked}
        summary.resumed = len(summary.done)
        pending = _ranges(backfill, inputs, sorted(set(summary.asked) - set(summary.done)), sorted(summary.done))
        if len(pending) > 1 and inputs.label is not None:
            inputs.label.persist()
        try:
            bases = lifetime.bases(spark, inputs, pending, days.scratch / "bases")
        except FAULTS as error:  # what comes before each range is missing, so none can be computed
            _failed(spark, error, [day for range_ in pending for day in range_.days], summary)
            bases, pending = {}, []
        for range_ in pending:
            join = RangeJoin(spark=spark, inputs=inputs, bases=bases, range_=range_, folder=days.scratch, group_rows=backfill.group_rows)
            _commit(join, days, summary)
            summary.seconds = time.monotonic() - started
        if summary.whole:
            days.finish(summary.manifest(), inputs.schema)
    summary.seconds = time.monotonic() - started
    return summary


def _commit(join: RangeJoin, days: Days, summary: RunSummary) -> None:
    """Compute a range and keep its days, each as it comes."""
    try:
        for written in join.compute():
            days.commit(written, expected=summary.asked[written.day])
            summary.done[written.day] = written.rows
    except FAULTS as error:
        _failed(join.spark, error, [day for day in join.range_.days if day not in summary.done], summary)


def _failed(spark: SparkSession, error: Exception, days: list[int], summary: RunSummary) -> None:
    summary.failed |= dict.fromkeys(days, reason(error))
    if is_gone(spark) or is_refusal(error):
        raise error


def _relations(spark: SparkSession, backfill: Backfill) -> dict[str, Relation]:
    """The requests and every source that a view or the label reads."""
    assert backfill.events is not None, "topics are copied into a folder first"
    request = backfill.service.request
    asked = parquet_source.requests(spark, backfill.requests, request, backfill.schemas.current(request.schema))
    known = {
        source.name: parquet_source.events(spark, backfill.events, source, backfill.schemas.current(source.schema))
        for source in backfill.sources
    }
    return {REQUESTS: asked, **known}


def _inputs(backfill: Backfill, relations: Mapping[str, Relation], summary: RunSummary) -> Inputs:
    """The good rows of all relations, and how many each has on each day."""
    service = backfill.service
    requests = relations[REQUESTS]
    asked = between(requests.rows, requests.source.event_time, backfill.from_ms, backfill.until_ms)
    rows = {name: asked if name == REQUESTS else relation.rows for name, relation in relations.items()}
    counted = census((name, rows[name], relation) for name, relation in relations.items())
    summary.tallies = [counted[name].tally for name in relations]
    good = {name: refuse(rows[name], relation) for name, relation in relations.items()}
    label = happened(service.label, good[service.label.source.name]) if backfill.label and service.label is not None else None
    return Inputs(
        service=service,
        as_known=backfill.as_known,
        requests=good[REQUESTS],
        days={name: counted[name].days for name in relations},
        events={name: frame for name, frame in good.items() if name != REQUESTS},
        label=label,
        scoring=backfill.scoring,
    )


def _ranges(backfill: Backfill, inputs: Inputs, pending: list[int], done: list[int]) -> list[Range]:
    rows: dict[int, int] = {}
    for counts in inputs.days.values():
        for day, count in counts.items():
            rows[day] = rows.get(day, 0) + count
    longest_ms = max((view.longest_window_ms for view in inputs.service.views), default=0)
    return ranges(pending, done, rows, limit=backfill.range_rows, least_days=-(-longest_ms // DAY_MS))


def _made_of(backfill: Backfill, relations: Mapping[str, Relation]) -> DataVersion:
    """Everything that the values depend on."""
    options: dict[str, Any] = {
        "as_known": backfill.as_known,
        "label": backfill.label,
        "from": None if backfill.from_ms is None else show_ms(backfill.from_ms),
        "until": None if backfill.until_ms is None else show_ms(backfill.until_ms),
    }
    if backfill.scoring is not None:
        options["model_version"] = backfill.scoring.version
    schemas = {name: relation.schema for name, relation in relations.items()}
    return DataVersion.of(backfill.service, schemas=schemas, options=options, files=checksums.hashed(relations), code=code_version())
