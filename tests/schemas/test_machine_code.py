"""Machine code is kept for the next process, where it was said and nowhere else; who cannot keep it compiles it anew, and never runs what was made of another source."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NUMBERS = "BY = 3\n"
CALLED = """
from schemas.machine_code import compiled

@compiled()
def once(value):
    return value

@compiled()
def twice(value):
    return 2 * once(value)
"""
SOURCE = """
from schemas.machine_code import compiled
from called_of_mine import twice
from numbers_of_mine import BY

@compiled("i8(i8)")
def times(value):
    return twice(value) * BY
"""
CALL = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from schemas.machine_code import keep_in
if sys.argv[2]:
    keep_in(Path(sys.argv[2]))
before = "numba" in sys.modules
from code_of_mine import times
import numba
print(json.dumps({"answer": times(7), "hits": sum(times.stats.cache_hits.values()), "early": before, "dir": numba.config.CACHE_DIR}))
"""


def project(folder: Path, numbers: str = NUMBERS, called: str = CALLED) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "called_of_mine.py").write_text(called)
    (folder / "numbers_of_mine.py").write_text(numbers)
    (folder / "code_of_mine.py").write_text(SOURCE)
    return folder


def call(path: Path, kept: Path | str, code: str = CALL) -> tuple[dict[str, Any], str]:
    """What a fresh process says, with a home of its own in which nothing may be written."""
    home = path.parent / "home"
    environment = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code, str(path), str(kept)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert not home.exists()
    said: dict[str, Any] = json.loads(done.stdout)
    assert not said.pop("early") and said.pop("dir") == ""  # numba's own setting is as it was
    return said, done.stderr


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.rglob("*") if path.is_file())


def test_the_next_process_compiles_nothing(tmp_path: Path) -> None:
    mine, kept = project(tmp_path / "mine"), tmp_path / "home of tidemark" / "machine-code"
    assert call(mine, kept) == ({"answer": 42, "hits": 0}, "")
    assert files(kept) and set(files(kept)) == {".nbi", ".nbc"}
    assert call(mine, kept) == ({"answer": 42, "hits": 1}, "")
    assert files(mine) == [".py"] * 3  # nothing beside the sources


def test_a_number_of_another_module_makes_another_code(tmp_path: Path) -> None:
    mine, kept = project(tmp_path / "mine"), tmp_path / "kept"
    call(mine, kept)
    times = (mine / "code_of_mine.py").stat()
    project(mine, numbers="BY = 5\n")
    os.utime(mine / "code_of_mine.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert call(mine, kept)[0] == {"answer": 70, "hits": 0}


def test_a_function_of_another_module_makes_another_code(tmp_path: Path) -> None:
    mine, kept = project(tmp_path / "mine"), tmp_path / "kept"
    call(mine, kept)
    times = (mine / "code_of_mine.py").stat()
    project(mine, called=CALLED.replace("return value", "return value + 1"))
    os.utime(mine / "code_of_mine.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert call(mine, kept)[0] == {"answer": 48, "hits": 0}
    assert call(mine, kept)[0] == {"answer": 48, "hits": 1}


AS_PYFLINK_DOES = """
import builtins

class CustomPrint:
    def print(self, *values, **options):
        self.before(*values, **options)

ours = CustomPrint()
ours.before, builtins.print = builtins.print, ours.print
"""


def test_where_print_is_another_function_it_is_that_function_again(tmp_path: Path) -> None:
    mine, kept = project(tmp_path / "mine"), tmp_path / "kept"
    code = f"{AS_PYFLINK_DOES}{CALL}\nassert builtins.print == ours.print\n"
    for hits in (0, 1):
        assert call(mine, kept, code)[0] == {"answer": 42, "hits": hits}


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    mine = project(tmp_path / "mine")
    assert call(mine, "") == call(mine, "") == ({"answer": 42, "hits": 0}, "")
    assert files(tmp_path) == [".py"] * 3


def test_a_folder_that_cannot_be_written_is_told_and_costs_time_alone(tmp_path: Path) -> None:
    mine, file = project(tmp_path / "mine"), tmp_path / "file"
    file.write_text("no folder\n")
    said, told = call(mine, file / "machine-code")
    assert said == {"answer": 42, "hits": 0}
    assert told == f"{file / 'machine-code'}: machine code cannot be kept, each process compiles it anew: Not a directory\n"
    assert files(mine) == [".py"] * 3


def test_so_is_one_that_may_only_be_read(tmp_path: Path) -> None:
    said, told = call(project(tmp_path / "mine"), "/sys")  # where root, too, may make no file
    assert said == {"answer": 42, "hits": 0}
    assert re.fullmatch(
        r"/sys: machine code cannot be kept, each process compiles it anew: (Permission denied|Read-only file system|Operation not permitted)\n",
        told,
    )


def test_from_an_archive_it_runs_and_is_kept_nowhere(tmp_path: Path) -> None:
    mine, archive = project(tmp_path / "mine"), tmp_path / "mine.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in mine.iterdir():
            packed.write(file, file.name)
    assert call(archive, tmp_path / "kept") == ({"answer": 42, "hits": 0}, "")
    assert not (tmp_path / "kept").exists()
