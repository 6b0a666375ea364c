"""Every command with its arguments and options, as typer reads them from the functions."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
from collections.abc import Iterator
from enum import Enum
from functools import cache
from typing import Any
from unittest.mock import patch

import typer

from jobs.cli.main import commands
from jobs.cli.submit import STREAMING
from tests.docs.reference.table import table

HEAD = """# Commands

`tidemark COMMAND --help` says the same of one command. Exit codes: 0 done; 1 failed, or something differs; 2 wrong use, setting or definition; 3 a service;
4 data; 130 interrupted (see [errors](errors.md)). `tidemark backfill` and `tidemark predict` are also `spark-submit jobs/backfill.py` and
`spark-submit jobs/predict.py`, with the same options.

"""


def page() -> str:
    """The page."""
    index = table(
        ("Command", "What it does"), ((f"[`tidemark {name}`](#tidemark-{name})", command.line) for name, command in commands().items())
    )
    return HEAD + index + "".join(_section(name) for name in commands())


@cache
def parameters(name: str) -> tuple[Any, ...]:
    """The arguments and options of a command, as click has them."""
    return tuple(_command(name).params)


def options(name: str) -> frozenset[str]:
    """Every spelling of an option that a command takes; of `submit` those of the jobs as well."""
    own = {spelling for each in parameters(name) for spelling in (*each.opts, *each.secondary_opts) if spelling.startswith("-")}
    of_jobs = {word.rstrip(",]") for job in STREAMING for word in job_usage(job).replace("[", " ").split() if word.startswith("-")}
    return frozenset(own | (of_jobs if name == "submit" else set()))


@cache
def job_usage(job: str) -> str:
    """What a job's own parser says of the arguments that `submit` hands to it."""
    said = io.StringIO()
    with patch.dict(os.environ, {"COLUMNS": "120"}), contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        importlib.import_module(f"jobs.{job}").main(["--help"])
    return said.getvalue()


def _command(name: str) -> Any:
    found = commands()[name]
    called = getattr(importlib.import_module(found.module), found.function)
    application = typer.Typer(add_completion=False, rich_markup_mode=None)
    application.command(context_settings=getattr(called, "context_settings", {}))(called)
    return typer.main.get_command(application)


def _section(name: str) -> str:
    sentences = (_command(name).help or "").partition("\n\nRaises:")[0]
    rows = [(_named(each), _default(each), each.help or "") for each in parameters(name)]
    told = f"\n## tidemark {name}\n\n{sentences.strip()}\n"
    if rows:
        told += "\n" + table(("Argument or option", "Default", "What it is"), rows)
    return told + "".join(_of_jobs(name))


def _of_jobs(name: str) -> Iterator[str]:
    if name == "submit":
        for job in STREAMING:
            yield f"\n### tidemark submit {job}\n\n```text\n{job_usage(job)}```\n"


def _named(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    spellings = ", ".join(f"`{each}`" for each in (*parameter.opts, *parameter.secondary_opts))
    return f"{spellings} `{parameter.metavar}`" if parameter.metavar else spellings


def _default(parameter: Any) -> str:
    if parameter.required:
        return "must be given"
    value = parameter.default
    if value is None or value is False or callable(value):
        return ""
    return f"`{value.value if isinstance(value, Enum) else value}`"
