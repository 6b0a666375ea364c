"""How the command line starts: only with packages that are all Tidemark's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.control import code_version
from tests.waiting import PATIENCE_S
from tidemark.__main__ import PACKAGES, ROOT


def start(*path: Path) -> subprocess.CompletedProcess[str]:
    """`tidemark --version` with these folders in front of all on which imports are looked for."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-P", "-m", "tidemark", "--version"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_it_looks_at_every_package_of_ours() -> None:
    assert PACKAGES == code_version.PACKAGES


def test_it_starts() -> None:
    started = start(ROOT)
    assert (started.returncode, started.stderr) == (0, "")
    assert started.stdout.startswith("tidemark ")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_has_taken_a_name_of_ours_is_told_of(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    started = start(tmp_path, ROOT)
    assert (started.returncode, started.stdout) == (2, "")
    assert started.stderr == (
        f"tidemark: the package {name!r} is found in {tmp_path / name}, not in {ROOT}: "
        f"take {tmp_path} off PYTHONPATH, or install Tidemark in an environment of its own\n"
    )


def test_a_module_of_that_name_too(tmp_path: Path) -> None:
    (tmp_path / "features.py").touch()
    started = start(tmp_path, ROOT)
    assert started.returncode == 2
    assert f"is found in {tmp_path / 'features.py'}, not in {ROOT}" in started.stderr


def test_a_folder_that_is_no_package_takes_no_name(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    assert start(tmp_path, ROOT).returncode == 0
