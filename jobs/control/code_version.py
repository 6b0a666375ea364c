"""Which code this is: the release, the sources' hash, and the commit where it is a checkout."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from features.versions.data_version import CodeVersion

PACKAGES = ("schemas", "features", "inference", "jobs", "infra")
"""Tidemark's own; the packages that these need are the Python environment's."""

SUFFIXES = (".py", ".lua")
DEFINITIONS = "features/definitions"
"""No code of ours: a service's own fingerprint tells of them."""

_GIT_PATIENCE_S = 10


@cache
def code_version() -> CodeVersion:
    """Of the running code, wherever it was imported from; computed once."""
    root = Path(__file__).parents[2]
    return version_of({package: files(package) for package in PACKAGES}, commit=commit_of(root))


def version_of(packages: Mapping[str, Traversable], *, commit: str | None = None) -> CodeVersion:
    """Of packages, by name; in a folder or in an archive."""
    digest = hashlib.sha256()
    for name, content in sorted(source for package, folder in packages.items() for source in _sources(folder, f"{package}/")):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return CodeVersion(release=importlib.metadata.version("tidemark"), sources_sha256=digest.hexdigest(), commit=commit)


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        inside = f"{name}{entry.name}"
        if entry.is_dir():
            if entry.name != "__pycache__" and inside != DEFINITIONS:
                yield from _sources(entry, f"{inside}/")
        elif entry.name.endswith(SUFFIXES):
            yield inside, entry.read_bytes()


def commit_of(root: Path) -> str | None:
    """The commit of the checkout that this folder is, not of one that merely has it inside."""
    said = _git(root, "rev-parse", "--show-toplevel", "HEAD")
    if said is None:
        return None
    top, commit = said.splitlines()
    if Path(top).resolve() != root.resolve():
        return None
    return f"{commit}-dirty" if _git(root, "status", "--porcelain", "--", *PACKAGES) else commit


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=_GIT_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
