"""`tidemark package`: Tidemark's own code as one archive for `spark-submit --py-files`, from where the workers of a cluster import it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from jobs.control.code_version import PACKAGES
from schemas.errors import SettingError
from schemas.wording import quantity

COMMANDS = {"package": "Pack Tidemark's code for spark-submit --py-files"}

_ROOT = Path(__file__).parents[2]
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that the format knows: the same code makes the same bytes
_MODE = 0o644 << 16


def command(
    out: Annotated[Path, typer.Option(help="File to write; Spark takes names that end in .zip")] = Path("dist/tidemark.zip"),
) -> None:
    """Write the archive that `spark-submit --py-files` sends to the workers. The same code makes the same bytes."""
    if out.suffix != ".zip":
        raise SettingError(f"package: --out {out}: Spark imports from files whose names end in .zip; e.g. {out.with_suffix('.zip')}")
    try:
        count = write(out)
    except OSError as fault:
        raise SettingError(f"package: --out {out} cannot be written: {fault.strerror or fault}") from fault
    print(f"{out}: {quantity(count, 'file')}, {out.stat().st_size:,} bytes, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


def write(out: Path) -> int:
    """Write the archive, whole or not at all.

    Returns:
        How many files it holds.

    Raises:
        OSError: It cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    members = {**{str(path.relative_to(_ROOT)): path.read_bytes() for path in _files()}, **_metadata()}
    try:
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(members):
                entry = zipfile.ZipInfo(name, _DATE)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _MODE
                archive.writestr(entry, members[name])
        fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)
    return len(members)


def _files() -> Iterator[Path]:
    for package in PACKAGES:
        for path in (_ROOT / package).rglob("*"):
            hidden = any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(_ROOT).parts)
            if path.is_file() and not hidden:
                yield path


def _metadata() -> dict[str, bytes]:
    """So that `importlib.metadata` tells the version there as here."""
    version = importlib.metadata.version("tidemark")
    return {f"tidemark-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: tidemark\nVersion: {version}\n".encode()}
