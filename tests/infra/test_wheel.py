"""The wheel: in an environment that has only what it asks for, pip installs it, and what it does without heavy packages works there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import pytest

from infra.extras import bringing
from jobs.cli.compile import Engine
from tests.infra.test_extras import demands
from tests.waiting import PATIENCE_S
from tidemark.__main__ import PACKAGES

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
UV = ROOT / ".tidemark" / "tools" / "bin" / "uv"
EVERY_HELP = """
from jobs.cli.main import commands, main
print("", *(name for name in commands() if main([name, "--help"]) != 0), sep="refused: ")
"""


class Environment:
    """A Python environment with the wheel, and a folder with definitions of somebody's own."""

    def __init__(self, folder: Path) -> None:
        """Build it; nothing is downloaded."""
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        self.run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv")
        site = folder / "venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        self.run(
            UV, "build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable, "--wheel", "--out-dir", folder, ROOT
        )
        (self.wheel,) = folder.glob("tidemark-*.whl")
        (metadata,) = (entry for entry in zipfile.Path(self.wheel).iterdir() if entry.name.endswith(".dist-info"))
        self.asked = demands("", PathDistribution(metadata))
        for name in self.asked:
            for top in {file.parts[0] for file in distribution(name).files or () if file.parts[0] not in ("..", "__pycache__")}:
                (site / top).symlink_to(Path(str(distribution(name).locate_file(top))))
        pip = (sys._base_executable, "-m", "pip", "--python", self.bin / "python")  # type: ignore[attr-defined]  # not in its stubs
        self.run(*pip, "install", "--quiet", "--no-index", self.wheel)
        self.run(*pip, "check")
        for part in ("definitions", "schemas"):
            shutil.copytree(ROOT / "tests" / "shop" / part, folder / part)

    def run(self, *command: str | Path, code: int = 0) -> str:
        """Both outputs of a command that knows nothing of this checkout."""
        known = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEMARK_", "PYTHON", "VIRTUAL_ENV"))}
        known |= {"TIDEMARK_DEFINITIONS": "definitions", "TIDEMARK_SCHEMAS": "schemas", "TIDEMARK_HOME": "home"}
        done = subprocess.run(command, cwd=self.folder, env=known, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == code, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def tidemark(self, *arguments: str, code: int = 0) -> str:
        """As a user runs it."""
        return self.run(self.bin / "tidemark", *arguments, code=code)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("wheel"))


def test_it_has_every_file_of_the_packages(environment: Environment) -> None:
    files = {path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    with zipfile.ZipFile(environment.wheel) as wheel:
        assert {str(file) for file in files if "__pycache__" not in file.parts} <= set(wheel.namelist())


def test_nothing_heavy_is_there(environment: Environment) -> None:
    listed = environment.run(environment.bin / "python", "-c", "import sys; print(*sys.path[1:])")
    assert str(ROOT) not in listed
    assert [name for name in environment.asked if bringing(name.replace("-", "_")) is not None] == []


def test_it_checks_and_compiles_definitions_of_ones_own(environment: Environment) -> None:
    assert environment.tidemark("--version") == f"tidemark {distribution('tidemark').version}\n"
    assert "user_clicks" in environment.tidemark("check")
    for engine in Engine:
        assert "user_clicks" in environment.tidemark("compile", "user_clicks", "--engine", engine)


def test_all_commands_but_those_on_spark_can_be_asked_for_help(environment: Environment) -> None:
    said = environment.run(environment.bin / "python", "-c", EVERY_HELP)
    (refused,) = [line for line in said.splitlines() if line.startswith("refused: ")]
    assert refused.split("refused: ")[1:] == ["backfill", "bootstrap", "correct", "parity", "predict", "rebuild"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("submit features", "Flink is not installed: pip install 'tidemark[flink]==0.1.0'"),
        ("up", "Flink and the embedded runtime are not installed: pip install 'tidemark[flink,embedded]==0.1.0'"),
        ("backfill", "Spark is not installed: pip install 'tidemark[spark]==0.1.0'"),
    ],
)
def test_what_it_cannot_do_here_is_a_line(command: str, told: str, environment: Environment) -> None:
    assert environment.tidemark(*command.split(), code=2) == f"tidemark: {told}\n"
