"""Commands that pages show exist, with the options that they are shown with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from jobs.cli.main import commands as known_commands
from tests.docs.pages import PAGES, ROOT, blocks
from tests.docs.reference import commands, settings

_SCRIPTS = {"jobs/backfill.py": "backfill", "jobs/predict.py": "predict"}
_INLINE = re.compile(r"`(tidemark [^`]+)`")


def shown(page_text: str) -> Iterator[str]:
    """Commands within sentences."""
    return (found[1] for found in _INLINE.finditer(page_text))


def lines() -> Iterator[str]:
    """Lines of the blocks of shell, those that go on put together, without comments."""
    for block in blocks():
        if block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                yield from (part.strip() for part in re.sub(r"(^|\s)#.*$", "", line).split("&&") if part.strip())


def wrong(line: str) -> str:
    """What is wrong with a command of ours; empty where nothing is, or it is none of ours."""
    words = shlex.split(line.replace("…", ""))
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    script = next((word for word in words if word.rpartition("/site-packages/")[2] in _SCRIPTS), None)
    if words[:1] == ["tidemark"] and len(words) > 1:
        name, given = words[1], words[2:]
    elif words[:1] == ["spark-submit"] and script is not None:
        name, given = _SCRIPTS[script.rpartition("/site-packages/")[2]], words[words.index(script) + 1 :]
    else:
        return ""
    if name in ("--help", "--version", "COMMAND"):
        return ""
    if name not in known_commands():
        return f"{line}: no command {name}"
    unknown = [word for word in given if word.startswith("-") and word.partition("=")[0] not in commands.options(name) | {"--help"}]
    return f"{line}: {name} has no option {', '.join(unknown)}" if unknown else ""


def test_commands_in_blocks_are_there() -> None:
    found = list(lines())
    assert sum(line.startswith("tidemark ") for line in found) > 30
    assert [problem for line in found if (problem := wrong(line))] == []


def test_commands_in_sentences_are_there() -> None:
    found = [line for page in PAGES if page.parent.name != "reference" for line in shown(page.read_text())]
    assert len(found) > 30
    assert [problem for line in found if (problem := wrong(line))] == []


@pytest.mark.parametrize(
    "line",
    [
        "tidemark sumbit features",
        "tidemark publish payments payments.parquet --sped 3",
        "A=b spark-submit --master x jobs/backfill.py --servce x",
        "tidemark submit features --onyl x",
    ],
)
def test_what_is_not_there_is_found(line: str) -> None:
    assert wrong(line)


def test_make_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, f"{page}: {named - targets}"


def test_settings_that_pages_name_are_read() -> None:
    known = set(re.findall(r"TIDEMARK_[A-Z_]+", settings.page()))
    for page in PAGES:
        named = set(re.findall(r"TIDEMARK_[A-Z_]+", page.read_text()))
        assert named <= known, f"{page}: {named - known}"
