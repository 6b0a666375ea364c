"""Which code this is: the release, the sources' hash, and the commit where it is a checkout."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
from functools import cache
from pathlib import Path

from features.data_version import CodeVersion

PACKAGES = ("schemas", "features", "inference", "jobs", "infra")
SUFFIXES = (".py", ".lua")
DEFINITIONS = "features/definitions/"
"""No code of ours: a service's own fingerprint tells of them."""

_GIT_PATIENCE_S = 10


@cache
def code_version() -> CodeVersion:
    """Of the running code; computed once."""
    return version_of(Path(__file__).parent.parent)


def version_of(root: Path) -> CodeVersion:
    """Of the packages below a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for suffix in SUFFIXES for path in (root / package).rglob(f"*{suffix}")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(DEFINITIONS):
            content = path.read_bytes()
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return CodeVersion(release=importlib.metadata.version("tidemark"), sources_sha256=digest.hexdigest(), commit=_commit(root))


def _commit(root: Path) -> str | None:
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
