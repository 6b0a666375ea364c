"""`tidemark data diff` on folders as the commands leave them, and what the code's own version is made of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from features.catalog import load
from features.versions.data_version import KEY, CodeVersion, DataFile, DataVersion
from features.window import Sliding
from inference.model.manifest import MANIFEST_FILE
from jobs.cli import package
from jobs.cli.main import main
from jobs.control import code_version as code
from jobs.control.code_version import PACKAGES
from jobs.spark.daily_output import MADE_OF, STATE, WHOLE
from tests import shop

DOC = Path(__file__).parents[3] / "docs" / "guides" / "models.md"
VERSION = DataVersion.of(
    shop.plan().services["buy"],
    schemas={},
    options={"as_known": False},
    files={"clicks": (DataFile(name="a.parquet", bytes=1, rows=7, sha256="0" * 64),)},
    code=CodeVersion(release="0.1.0", sources_sha256="a" * 64),
)


def folder(path: Path, version: DataVersion = VERSION, *, name: str = WHOLE) -> Path:
    path.mkdir()
    (path / name).write_text(json.dumps({KEY: version.json()}))
    return path


def test_a_backfill_and_the_model_that_took_it_over_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = folder(tmp_path / "training"), folder(tmp_path / "model", name=MANIFEST_FILE)
    assert main(["data", "diff", str(a), str(b)]) == 0
    assert capsys.readouterr().out == f"data version {VERSION.digest}: the same\n"


def test_what_differs_is_told_and_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = replace(VERSION, options={"as_known": True}, code=replace(VERSION.code, sources_sha256="b" * 64))
    assert main(["data", "diff", str(folder(tmp_path / "a")), str(folder(tmp_path / "b", other))]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "option as_known: false → true",
        "code: 0.1.0+aaaaaaaaaaaa → 0.1.0+bbbbbbbbbbbb",
        f"data version {VERSION.digest} → {other.digest}",
    ]


def test_a_folder_that_says_nothing_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = folder(tmp_path / "good")
    begun = tmp_path / "begun"
    (begun / STATE).mkdir(parents=True)
    (begun / STATE / MADE_OF).write_text(json.dumps({KEY: VERSION.json()}))
    cut = folder(tmp_path / "cut")
    (cut / WHOLE).write_text("{")
    older = folder(tmp_path / "older", name=MANIFEST_FILE)
    (older / MANIFEST_FILE).write_text('{"format": 1}')
    for path, exit_code, said in (
        (tmp_path / "nowhere", 2, "no data version here; allowed is"),
        (tmp_path, 2, "no data version here; allowed is"),
        (begun, 2, "is not whole yet"),
        (cut, 4, "damaged"),
        (older, 4, "no data version, or a damaged one"),
    ):
        assert main(["data", "diff", str(good), str(path)]) == exit_code
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error and str(path) in error
    assert main(["data", "drift", str(good), str(good)]) == 2
    assert "'drift' is not one of 'diff'" in capsys.readouterr().err


def test_the_readme_shows_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = load(None, None).services["flight_delay"]
    view = service.views[0]
    wider = replace(view, features=(*view.features[:-1], replace(view.features[-1], window=Sliding(size_ms=2 * view.longest_window_ms))))
    july = tuple(
        DataFile(name=f"2013-0{month}.parquet", bytes=1, rows=rows, sha256=f"{month:064}") for month, rows in ((6, 27_234), (7, 28_485))
    )
    august = DataFile(name="2013-08.parquet", bytes=1, rows=28_841, sha256=f"{8:064}")
    july_again = replace(july[1], rows=28_293, sha256="7" * 64)
    before = DataVersion.of(service, schemas={}, options={"as_known": False}, files={"departures": july}, code=VERSION.code)
    after = DataVersion.of(
        replace(service, views=(wider, *service.views[1:])),
        schemas={},
        options={"as_known": True},
        files={"departures": (july[0], july_again, august)},
        code=replace(VERSION.code, sources_sha256="b" * 64),
    )
    assert main(["data", "diff", str(folder(tmp_path / "a", before)), str(folder(tmp_path / "b", after))]) == 1
    printed = capsys.readouterr().out
    begin, end = "<!-- data diff: written by tests/jobs/cli/test_data.py with UPDATE_GOLDEN=1 -->\n```\n", "```\n<!-- /data diff -->"
    head, _, rest = DOC.read_text().partition(begin)
    shown, _, tail = rest.partition(end)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        DOC.write_text(head + begin + printed + end + tail)
    else:
        assert shown == printed, "if that is meant, UPDATE_GOLDEN=1 rewrites it"


def copied(to: Path) -> Path:
    for name in PACKAGES:
        shutil.copytree(Path(code.__file__).parents[2] / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    return to


def sources(root: Path | zipfile.Path) -> str:
    return code.version_of({name: root / name for name in PACKAGES}).sources_sha256


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    return subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_the_code_version_is_of_what_computes_wherever_it_lies(tmp_path: Path) -> None:
    root = copied(tmp_path / "installed")
    here = code.code_version().sources_sha256
    assert sources(root) == here
    package.write(tmp_path / "tidemark.zip")
    assert sources(zipfile.Path(tmp_path / "tidemark.zip")) == here
    (root / "features" / "definitions" / "more.py").write_text("x = 1\n")
    (root / "jobs" / "__pycache__").mkdir()
    (root / "jobs" / "__pycache__" / "data.cpython-311.py").write_bytes(b"x = 1")
    assert sources(root) == here
    for changed in ("features/kernel/fold.py", "inference/online/redis/merge_tiles.lua"):
        before = sources(root)
        (root / changed).write_text((root / changed).read_text() + "\n")
        assert sources(root) != before


def test_a_checkout_is_named_by_its_commit_and_a_folder_inside_another_is_not(tmp_path: Path) -> None:
    root = copied(tmp_path / "checkout")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "all")
    commit = git(root, "rev-parse", "HEAD")
    assert code.commit_of(root) == commit
    (root / "notes.txt").write_text("not ours")
    assert code.commit_of(root) == commit
    (root / "jobs" / "more.py").write_text("x = 1\n")
    assert code.commit_of(root) == f"{commit}-dirty"
    assert code.commit_of(copied(root / "site-packages")) is None
