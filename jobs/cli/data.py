"""`tidemark data diff A B`: what two backfills, batches of predictions or models were made of, beside each other."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from features.versions.data_version import DataVersion
from features.versions.data_version_diff import changes
from inference.model.manifest import MANIFEST_FILE
from jobs.spark.daily_output import STATE, WHOLE, manifest_of
from schemas.errors import DataError, SettingError
from schemas.wording import cause

COMMANDS = {"data": "Say what changed between two training sets or models"}


class Action(StrEnum):
    """What to do with data versions."""

    DIFF = "diff"


def command(
    action: Annotated[Action, typer.Argument(help="diff: what changed from A to B", metavar="diff")],
    before: Annotated[Path, typer.Argument(help="Folder of a backfill, of batch predictions, or of a model", metavar="A")],
    after: Annotated[Path, typer.Argument(help="Another one", metavar="B")],
) -> int:
    """Say what changed in definitions, options, files and code; exit code 0 where nothing did, else 1."""
    a, b = data_version(before), data_version(after)
    found = changes(a, b)
    for line in found:
        print(line)
    print(f"data version {a.digest} → {b.digest}" if found else f"data version {a.digest}: the same")
    return 1 if found else 0


def data_version(folder: Path) -> DataVersion:
    """What a folder says that it was made of.

    Raises:
        SettingError: It is neither a backfill, nor predictions, nor a model.
        DataError: What it says is damaged.
    """
    if (folder / WHOLE).is_file() or (folder / STATE).is_dir():
        return DataVersion.parse(manifest_of(folder), folder / WHOLE)
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise SettingError(
            f"{folder}: no data version here; allowed is a folder of a backfill, of batch predictions (both have {WHOLE}) or of a model ({MANIFEST_FILE})"
        )
    try:
        manifest = dict(json.loads(path.read_text()))
    except OSError as fault:
        raise SettingError(f"{path}: cannot be read: {cause(fault)}") from None
    except (ValueError, TypeError) as fault:
        raise DataError(f"{path}: damaged: {type(fault).__name__}: {fault}; train again") from None
    return DataVersion.parse(manifest, path)
