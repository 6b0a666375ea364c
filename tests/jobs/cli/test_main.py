"""The command line: help without imports, one clear line for an error, exit codes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli import main as main_module
from jobs.cli.main import commands, main
from jobs.report.command import guarded, run
from schemas.errors import DataError, DefinitionError, ServiceError, SettingError, TidemarkError
from tests.waiting import PATIENCE_S

_HEAVY = ("feast", "pyflink", "pyspark", "confluent_kafka", "pandas", "lightgbm", "numba")


def tidemark(*arguments: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "jobs.cli.main", *arguments]
    environment = os.environ | {"TIDEMARK_HOME": str(home)} | environ
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def without_heavy_imports(*arguments: str) -> list[str]:
    """The lines that a command prints, when it imported nothing that takes long."""
    script = f"import sys; from jobs.cli.main import main; main({arguments!r}); print([name for name in {_HEAVY!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown.pop() == "[]"
    return shown


def test_help_lists_every_command_and_imports_none() -> None:
    shown = without_heavy_imports("--help")
    assert [line.split()[0] for line in shown if line.startswith("  ")] == list(commands())


@pytest.mark.slow
def test_definitions_are_checked_without_heavy_imports() -> None:
    assert without_heavy_imports("check")


def test_every_module_of_commands_declares_what_is_there() -> None:
    own = {f"jobs.cli.{path.stem}" for path in Path(main_module.__file__).parent.glob("*.py")} - {"jobs.cli.main", "jobs.cli.__init__"}
    assert {command.module for command in commands().values()} > own
    for command in commands().values():
        assert callable(getattr(importlib.import_module(command.module), command.function))


@pytest.mark.parametrize("name", commands())
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: tidemark {name}" in capsys.readouterr().out


def test_an_unknown_command_is_met_with_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stauts"]) == 2
    assert capsys.readouterr().err == "tidemark: no command is named 'stauts'; did you mean status?\n"


def test_an_unknown_option_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--hard"]) == 2
    assert "No such option: --hard" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"), [(TidemarkError, 1), (DefinitionError, 2), (SettingError, 2), (ServiceError, 3), (DataError, 4)]
)
def test_an_error_is_a_line_each_and_an_exit_code(
    error: type[TidemarkError], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing() -> None:
        raise error("first\nsecond")

    monkeypatch.setattr("jobs.cli.runtime.down", failing)
    assert main(["down"]) == code
    assert capsys.readouterr().err == "tidemark: first\ntidemark: second\n"


def test_an_interrupted_command_says_so_by_its_exit_code() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert guarded(lambda: run(interrupted, [], name="interrupted")) == 130


def test_a_command_chooses_its_exit_code() -> None:
    assert run(lambda: 1, [], name="differs") == 1


@pytest.mark.slow
def test_a_setting_that_is_wrong_stops_any_command(tmp_path: Path) -> None:
    done = tidemark("status", home=tmp_path, TIDEMARK_PARTITIONS="none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tidemark: TIDEMARK_PARTITIONS: expected a whole number from 1 to 10000, got 'none'\n"


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m jobs.cli.main --help | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: tidemark")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("redirection", "code", "told"),
    [
        (">/dev/full", 2, "tidemark: what was to be written: No space left on device\n"),
        (">&-", 0, ""),
    ],
)
@pytest.mark.parametrize("command", ["--help", "--version", "check"])
def test_output_that_cannot_be_written_is_a_line(command: str, redirection: str, code: int, told: str) -> None:
    done = subprocess.run(
        f"{sys.executable} -m jobs.cli.main {command} {redirection}", shell=True, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, told)


def test_a_file_that_no_command_has_foreseen_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def failing() -> int:
        (tmp_path / "a" / "b").write_text("")
        return 0

    assert guarded(failing) == 2
    assert capsys.readouterr().err == f"tidemark: {tmp_path}/a/b: No such file or directory\n"
