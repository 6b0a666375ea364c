"""`tidemark parity SERVICE` and `tidemark parity VIEW --tiles`: the proof that online equals history, or where it does not."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from features.catalog import load, service_named, view_named
from features.plan import Plan
from infra.settings import Settings
from jobs.parity import features, tiles
from jobs.parity.page import page
from jobs.parity.report import Report, time_text
from jobs.parity.terminal import Steps, show
from schemas.errors import SettingError
from schemas.schema import SHIPPED, SchemaSet
from schemas.times import instant_ms
from schemas.wording import quantity

COMMANDS = {"parity": "Prove that what was served is what history says"}
NEEDS = {"parity": ("spark",)}


def command(
    name: Annotated[str, typer.Argument(help="A feature service; with --tiles a feature view", metavar="SERVICE|VIEW")],
    of_tiles: Annotated[
        bool, typer.Option("--tiles", help="Compare the view's tiles topic with Spark's tiles; needs no predictions")
    ] = False,
    predictions: Annotated[Path | None, typer.Option(help="Parquet file of predictions; otherwise the service's topic")] = None,
    events: Annotated[Path | None, typer.Option(help="Folder with one folder per source; otherwise the archive in the home")] = None,
    requests: Annotated[Path | None, typer.Option(help="Parquet file or folder of the requests; otherwise their topic")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="From this as-of time on, e.g. 2013-10-01T04:00Z", metavar="TIME")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time", metavar="TIME")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Recompute so many requests: always the same ones", metavar="N")] = None,
    as_known: Annotated[bool, typer.Option("--as-known", help="Count late events in history too; otherwise as served")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for parity.json and parity.html; otherwise parity/NAME in the home")] = None,
    examples: Annotated[int, typer.Option(min=1, help="How many to show of each feature that differs", metavar="N")] = 5,
) -> int:
    """Compare what was served with what Spark computes from history; exit code 1 where anything differs that may not."""
    settings = Settings.load()
    plan = load(settings.definitions, settings.schemas)
    schemas = SchemaSet.load(settings.schemas or SHIPPED)
    times = [None if text is None else instant_ms(text) for text in (from_, until)]
    if of_tiles and (predictions or requests or sample):
        raise SettingError(
            "parity: --predictions, --requests and --sample are about a service's predictions; --tiles compares all tiles of a view"
        )
    folder = settings.home / "parity" / name if out is None else out
    console = Console(soft_wrap=True)
    with _workplace(folder) as work, Steps(Console(stderr=True)) as stages:
        if of_tiles:
            question = tiles.ParityRequest(
                view=view_named(plan, name, where="parity: "),
                settings=settings,
                schemas=schemas,
                events=events,
                from_ms=times[0],
                until_ms=times[1],
                as_known=as_known,
                examples=examples,
            )
            report = tiles_report(question, tiles.answer(question, work, stages.during))
        else:
            _is_service(plan, name)
            asked = features.ParityRequest(
                service=service_named(name, plan),
                settings=settings,
                schemas=schemas,
                events=events,
                predictions=predictions,
                requests=requests,
                from_ms=times[0],
                until_ms=times[1],
                sample=sample,
                as_known=as_known,
                examples=examples,
            )
            report = features_report(asked, features.answer(asked, work, stages.during))
    (folder / "parity.json").write_text(json.dumps(report.document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "parity.html").write_text(page(report), encoding="utf-8")
    show(report, console)
    console.print(f"\nReport: {folder / 'parity.html'}", highlight=False)
    return 1 if report.problems else 0


def features_report(question: features.ParityRequest, answer: features.ParityResult) -> Report:
    """What a comparison of predictions says."""
    service, p = question.service, answer.parity
    counted = "late events counted too (as known)" if question.as_known else "late events left out, as the stream left them out (as served)"
    how = [f"History: {question.history}; {counted}."]
    if question.sample is not None:
        how.append(
            f"Recomputed: {quantity(answer.recomputed, 'request')}, those whose ids have the lowest SHA-256. Missing and extra are of all."
        )
    if not answer.requests_known:
        how.append("Predictions came from a file and no requests were named: none can be missing.")
    how += [f"Left out: {quantity(count, 'prediction')} {reason}." for reason, count in answer.skipped.items()]
    return Report(
        subject=f"service {service.name}",
        row="prediction",
        column="feature",
        parity=p,
        evidence=answer.evidence,
        low_ms=answer.low_ms,
        high_ms=answer.high_ms,
        how=how,
        facts={
            "service": service.name,
            "service_version": service.fingerprint,
            "as_known": question.as_known,
            "sample": question.sample,
            "recomputed": answer.recomputed,
            "requests_known": answer.requests_known,
            "exact_share": p.exact_share,
        },
    )


def tiles_report(question: tiles.ParityRequest, answer: tiles.ParityResult) -> Report:
    """What a comparison of tiles says."""
    view = question.view
    counted = "late events counted too (as known)" if question.as_known else "late events left out, as the stream left them out (as served)"
    source = question.settings.home / "archive" if question.events is None else question.events
    how = [f"Topic {view.tiles_topic} against {source}; {counted}. The view's frontier: {time_text(answer.frontier_ms)}."]
    how += [f"Left out: {count:,} records of the topic that are {reason}." for reason, count in answer.skipped.items()]
    return Report(
        subject=f"view {view.name}",
        row="tile",
        column="column",
        parity=answer.parity,
        evidence=(),
        low_ms=answer.low_ms,
        high_ms=answer.high_ms,
        how=how,
        facts={
            "view": view.name,
            "view_version": view.fingerprint,
            "as_known": question.as_known,
            "frontier": time_text(answer.frontier_ms),
        },
    )


def _is_service(plan: Plan, name: str) -> None:
    if name in plan.views and name not in plan.services:
        raise SettingError(f'parity: "{name}" is a feature view; compare its tiles with --tiles, or name a feature service')


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """The folder of the report, and in it an empty one for what lies between; that goes away."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".work-", dir=folder.absolute()))
    except OSError as fault:
        raise SettingError(f"--out: {folder} cannot be written: {fault.strerror or fault}") from fault
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
