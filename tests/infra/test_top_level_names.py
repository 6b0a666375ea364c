"""The names that we import by are ours: a package of the environment that had one of them would be imported in our place, in a console script or a worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from jobs.control.code_version import PACKAGES
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
"""Of the path on which imports are looked for, what is not the project."""


def others(name: str, path: Iterable[str], providers: Iterable[str]) -> list[str]:
    """Who else has a package of that name: folders of the path, and distributions that are not ours."""
    found = PathFinder.find_spec(name, list(path))
    folders = [] if found is None else [found.origin, *(found.submodule_search_locations or ())]
    return [str(folder) for folder in folders if folder] + [provider for provider in providers if provider != "tidemark"]


@pytest.mark.slow
def test_nobody_else_in_the_environment_has_them() -> None:
    providers = packages_distributions()
    assert {name: others(name, ELSEWHERE, providers.get(name, ())) for name in PACKAGES} == {name: [] for name in PACKAGES}


def test_a_package_of_that_name_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    assert others("jobs", [*ELSEWHERE, str(tmp_path)], ["tidemark", "jobs-of-others"]) == [str(tmp_path / "jobs"), "jobs-of-others"]
    (tmp_path / "jobs" / "__init__.py").touch()
    assert others("jobs", [str(tmp_path)], []) == [str(tmp_path / "jobs" / "__init__.py"), str(tmp_path / "jobs")]


def test_an_interpreter_that_is_nowhere_near_the_project_imports_ours(tmp_path: Path) -> None:
    code = f"import {', '.join(sorted(PACKAGES))}; print(*[each.__file__ for each in ({', '.join(sorted(PACKAGES))})], sep='\\n')"
    run = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert run.stdout.splitlines() == [str(ROOT / name / "__init__.py") for name in sorted(PACKAGES)]
