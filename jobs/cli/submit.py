"""`tidemark submit | jobs | cancel`: streaming jobs on the Flink cluster."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from infra import flink, flink_submission
from infra.settings import Settings
from jobs.control.held_jobs import held_jobs
from jobs.flink.job_names import single_view_name
from schemas.errors import ServiceError, SettingError

COMMANDS = {
    "submit": "Run a job on the Flink cluster: features, materialize, score",
    "jobs": "List the jobs of the Flink cluster",
    "cancel": "End a job; it can be resumed",
}
NEEDS = {"submit": ("flink",)}

STREAMING = ("features", "materialize", "score")
"""The modules of this package that are Flink jobs."""

_MODEL = "--model"
_Url = Annotated[str | None, typer.Option("--flink", help="REST endpoint of a cluster, instead of the embedded one.")]


def submit(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help=f"Which: {', '.join(STREAMING)}.")],
    flink_url: _Url = None,
    name: Annotated[str | None, typer.Option(help="Of the job on the cluster; the job's and its arguments' names by default.")] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Start without the state of the newest checkpoint; features reads the events of open tiles again."),
    ] = False,
    parallelism: Annotated[int | None, typer.Option(min=1, help="Parallel subtasks.")] = None,
) -> None:
    """Run a job on the Flink cluster; it resumes from its newest checkpoint. All other arguments go to the job.

    Raises:
        SettingError: There is no such job.
        ServiceError: The cluster does not answer, or the job did not get to run.
    """
    if job not in STREAMING:
        raise SettingError(f"no job is named {job!r}; there are {', '.join(STREAMING)}")
    if job == "score":
        _check_model(context.args)
    settings = _settings(flink_url)
    if parallelism is not None:
        settings = dataclasses.replace(settings, parallelism=parallelism)
    named = _materialize_name(settings) if job == "materialize" else job
    if job == "features" and "--only" in context.args[:-1]:
        named = single_view_name(context.args[context.args.index("--only") + 1])
    named = "-".join((named, *itertools.takewhile(lambda argument: not argument.startswith("-"), context.args)))
    job_id = flink_submission.submit(f"jobs.{job}", _located(context.args), name=name or named, settings=settings, fresh=fresh)
    print(f"{name or named} {job_id}")


submit.context_settings = {"allow_extra_args": True, "ignore_unknown_options": True}  # type: ignore[attr-defined] # jobs.cli.main.run reads it


def _materialize_name(settings: Settings) -> str:
    """Of the job that writes the generation that is served; asked here, since the job's checkpoints go by its name."""
    from inference.online.connection import connect
    from jobs.control.generations import job_name, read_active

    return job_name(read_active(settings, connect(settings.redis_url)).generation)


def _located(arguments: Sequence[str]) -> list[str]:
    """The arguments with the paths among the options' values made absolute: the driver does not run in this folder."""
    located: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=") if argument.startswith("--") else (before, "", argument)
        is_path = option == _MODEL or (option.startswith("--") and Path(value).exists())
        located.append(f"{option if equals else ''}{equals}{Path(value).absolute()}" if is_path and value else argument)
    return located


def _check_model(arguments: Sequence[str]) -> None:
    """Refuse here, by the path that was given, what is no model."""
    from inference.model.manifest import Manifest

    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=")
        if option == _MODEL and equals:
            Manifest.read(Path(value))
        elif before == _MODEL:
            Manifest.read(Path(argument))


def jobs(flink_url: _Url = None) -> None:
    """List the jobs of the cluster: name, id, state, tasks that run, restarts, newest checkpoint; then what is wrong with those that failed.

    And which of them do not get on: a checkpoint has not ended after half a minute, or they wait for a Kafka transaction that has been open for as long.
    """
    settings = _settings(flink_url)
    cluster = flink.Cluster(settings.flink_url)
    listed = cluster.jobs()
    rows = [("NAME", "ID", "STATE", "TASKS", "RESTARTS", "CHECKPOINT")]
    rows += [(job.name, job.id, job.state, f"{job.tasks[0]}/{job.tasks[1]}", str(job.restarts), job.checkpoint or "-") for job in listed]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    for line in [*cluster.troubles(listed), *held_jobs(settings, cluster, listed)]:
        print(line)


def cancel(job: Annotated[str, typer.Argument(help="Its name or id.")], flink_url: _Url = None) -> None:
    """End a job; submitting it again resumes it.

    Raises:
        ServiceError: The cluster does not answer, or no such job runs.
    """
    cluster = flink.Cluster(_settings(flink_url).flink_url)
    running = [each for each in cluster.jobs() if each.state not in flink.ENDED]
    found = next((each for each in running if job in (each.name, each.id)), None)
    if found is None:
        raise ServiceError(f"no job {job!r} runs; there are {', '.join(each.name for each in running) or 'none'}")
    cluster.cancel(found.id)
    print(f"{found.name} {found.id} cancelled")


def _settings(flink_url: str | None) -> Settings:
    settings = Settings.load()
    return settings if flink_url is None else dataclasses.replace(settings, flink=flink_url.rstrip("/"))
