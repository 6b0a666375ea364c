"""Starts the command line, after a look at whether the names that it imports by lead to Tidemark's own packages.

It stands outside of them: one whose name another package has taken could not say so.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The folder that all of Tidemark was imported from."""

PACKAGES = ("schemas", "features", "inference", "jobs", "infra")


def main() -> int:
    """Run one command; returns its exit code, as `jobs.cli.main` says, 2 where a package of ours cannot be imported."""
    for name in PACKAGES:
        found = _folder(name)
        if found != ROOT / name:
            where = f"is not there in {ROOT}: install Tidemark again" if found is None else _instead(found)
            print(f"tidemark: the package {name!r} {where}", file=sys.stderr)
            return 2
    from jobs.cli.main import main as command_line

    return command_line()


def _folder(name: str) -> Path | None:
    """Where a package would be imported from; a module's own file."""
    found = find_spec(name)
    if found is None:
        return None
    if found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations)))
    return Path(found.origin or name)


def _instead(found: Path) -> str:
    return f"is found in {found}, not in {ROOT}: take {found.parent} off PYTHONPATH, or install Tidemark in an environment of its own"


if __name__ == "__main__":
    sys.exit(main())
