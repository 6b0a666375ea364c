"""Each file of `refused/` is a definition with faults; its first lines say which problems must come, all together and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from features.catalog import load
from schemas.errors import DefinitionError, SettingError, TidemarkError

HERE = Path(__file__).parent
SCHEMAS = HERE / "every" / "schemas"
SOURCES = HERE / "every" / "definitions" / "sources.py"
CASES = sorted((HERE / "refused").glob("*.py"))


def problems(folder: Path) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        load(folder, SCHEMAS)
    assert caught.value.exit_code == 2
    return list(caught.value.problems)


def folder_of(tmp_path: Path, **modules: str) -> Path:
    folder = tmp_path / "definitions"
    folder.mkdir()
    shutil.copy(SOURCES, folder)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_refused(case: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, **{case.stem: case.read_text()})
    expected = [line[2:] for line in case.read_text().splitlines() if line.startswith("# ")]
    names = {"file": str(folder / case.name), "base": str(folder / "sources.py"), "name": case.name}
    for name, value in names.items():
        expected = [line.replace(f"{{{name}}}", value) for line in expected]
    assert sorted(problems(folder)) == sorted(expected)


VIEW = """
from features import Count, FeatureView
from .sources import events, hour, minute, user
{name} = FeatureView(entity=user, source=events, tile=minute, features={{"{name}_n": Count().over(hour)}})
"""


def test_two_views_with_one_name_in_different_modules(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a=VIEW.format(name="clicks"), b=VIEW.format(name="clicks"))
    assert problems(folder) == [
        f"clicks: a FeatureView of this name is also in {folder / 'a.py'}; names of one kind differ, by more than case ({folder / 'b.py'})"
    ]


def test_one_key_with_two_types(tmp_path: Path) -> None:
    other = """
from features import Count, Entity, FeatureView, Source
from .sources import hour, minute
other_requests = Source(topic="r2", schema="request")
thing = Entity(keys=["items"])
first = FeatureView(entity=thing, source=other_requests, tile=minute, features={"n": Count().over(hour)})
"""
    second = VIEW.format(name="second").replace("entity=user", "entity=thing").replace("import events", "import events") + ""
    second = second.replace("from .sources", "from .a import thing\nfrom .sources")
    folder = folder_of(tmp_path, a=other, b=second)
    assert problems(folder) == [
        f'second: key "items" is int64 here and string in view "first"; a key has one type in all views ({folder / "b.py"})'
    ]


def test_a_module_that_fails_is_named_once_and_the_others_are_still_checked(tmp_path: Path) -> None:
    wrong = VIEW.format(name="w").replace("Count()", 'Count("amuont")')
    folder = folder_of(tmp_path, a="1 / 0\n", b="from .a import x\n", c=wrong)
    assert problems(folder) == [
        f"{folder / 'a.py'}:1: ZeroDivisionError: division by zero",
        f'w.w_n: source "events" has no column "amuont"; did you mean "amount"? ({folder / "c.py"})',
    ]


def test_a_module_that_is_not_python(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a="\nv = = 1\n")
    assert problems(folder) == [f"{folder / 'a.py'}:2: SyntaxError: invalid syntax"]


def test_an_empty_folder(tmp_path: Path) -> None:
    assert problems(tmp_path) == [
        f"definitions: {tmp_path} declares no feature view; assign a FeatureView to a variable in a .py file of it"
    ]


@pytest.mark.parametrize("which", ["definitions", "schemas"])
def test_a_missing_folder(which: str, tmp_path: Path) -> None:
    folders = {"definitions": SOURCES.parent, "schemas": SCHEMAS} | {which: tmp_path / "nowhere"}
    with pytest.raises(SettingError, match=f"{which}: .*nowhere is not a folder; TIDEMARK_{which.upper()} names"):
        load(folders["definitions"], folders["schemas"])


def test_a_broken_schema_is_told_with_a_broken_module(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "event.avsc").write_text("{")
    with pytest.raises(TidemarkError) as caught:
        load(folder_of(tmp_path, a="1 / 0\n"), tmp_path / "schemas")
    assert len(str(caught.value).splitlines()) == 2


def test_a_module_whose_name_is_none(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, v=VIEW.format(name="v"))
    (folder / "my-view.py").write_text("")
    assert problems(folder) == [
        f"{folder / 'my-view.py'}: the path is not a module's; allowed are letters, digits and _, not first a digit"
    ]
