"""The real `dvc repro` runs dvc.yaml: backfill and model are made, forced they are made again to the byte, and unforced nothing is done twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from inference.model.loading import load
from jobs.cli.main import main
from jobs.control.code_version import PACKAGES
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
BESIDES = {Path("inference/gc_paused")} | {
    Path("jobs", *name.split("."))
    for name in (
        "control.code_version",
        "kafka.admin",
        "kafka.broker_fault",
        "kafka.committed",
        "kafka.connection",
        "kafka.decoding",
        "kafka.error_text",
        "kafka.reader",
        "kafka.slices",
        "report.command",
    )
}
"""Of no value: when memory is looked through for garbage, what a run says, and Kafka, from which these stages do not read; nor do they from the
online store."""
PARAMETERS = 'service: flight_delay\nfrom: "2013-01-01"\nuntil: "2013-01-11"\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone, as git has it, with ten days of flights to learn from."""
    folder = tmp_path_factory.mktemp("project")
    for name in (*PACKAGES, ".dvc"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "tmp", "cache"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    assert set(PARAMETERS.replace(":", "").split()[::2]) <= set((ROOT / "params.yaml").read_text().replace(":", "").split())
    (folder / "params.yaml").write_text(PARAMETERS)
    for arguments in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, timeout=PATIENCE_S)
    return folder


def repro(project: Path, *arguments: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "dvc", "repro", *arguments]
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("stage", ["backfill", "train"])
def test_a_stage_names_the_code_that_its_values_depend_on(stage: str) -> None:
    code = f"import sys, jobs.{stage}; print(*(name for name in sys.modules if name.startswith(('jobs.', 'inference.'))))"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout
    imported = [name for name in printed.split() if not f"{name}.".startswith("inference.online.")]
    assert f"jobs.{stage}" in imported
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    named = {dependency for each in ("backfill", stage) for dependency in stages[each]["deps"]}
    paths = [path for name in imported if not (ROOT / (path := Path(*name.split(".")))).is_dir()]
    known = BESIDES | {Path(name.removesuffix(".py")) for name in named}
    assert [str(path) for path in paths if not known & {path, *path.parents}] == []


def test_dvc_makes_the_same_model_again_and_nothing_twice(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = repro(project)
    assert [f"Running stage '{stage}'" in first for stage in ("flights", "backfill", "train")] == [True] * 3
    lock = (project / "dvc.lock").read_bytes()
    before = shutil.copytree(project / "model", tmp_path / "model")
    written = (project / "model" / "model.txt").stat().st_mtime_ns

    unforced = repro(project)
    assert [f"Stage '{stage}' didn't change, skipping" in unforced for stage in ("flights", "backfill", "train")] == [True] * 3
    assert (project / "model" / "model.txt").stat().st_mtime_ns == written

    forced = repro(project, "--force")
    assert [f"Running stage '{stage}'" in forced for stage in ("flights", "backfill", "train")] == [True] * 3
    assert (project / "model" / "model.txt").stat().st_mtime_ns != written
    assert load(project / "model").version == load(before).version
    assert (project / "dvc.lock").read_bytes() == lock  # every file of all outputs has the hash that it had
    assert main(["data", "diff", str(before), str(project / "training")]) == 0
    model = load(project / "model")
    assert capsys.readouterr().out == f"data version {model.manifest.data_version}: the same\n"
    files = json.loads((project / "model" / "manifest.json").read_text())["data_version"]["files"]
    assert {name: len(found) for name, found in files.items()} == {"--requests": 13, "departures": 13, "arrivals": 13}

    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=project, check=True, capture_output=True, text=True, timeout=PATIENCE_S
    ).stdout
    assert changed.split() == ["??", "dvc.lock"]
