"""The README and all pages of `docs/`, and what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"(?:<!-- (?:snippet|run|excerpt): ([\w ./-]+) -->|`(team/[\w./]+)`(?:, .*)?:\n)\n\Z")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of code in a page.

    Attributes:
        page: Where it is.
        language: As its fence says; empty where it says none.
        name: Of the comment over it (`snippet: NAME`, `run: NAME`, `excerpt: FILE`), or the file of the folder `team/` that the sentence over it names; empty where there is neither.
        text: What is in it.
    """

    page: Path
    language: str
    name: str
    text: str


@cache
def blocks() -> tuple[Block, ...]:
    """All blocks of code of all pages."""
    return tuple(block for page in PAGES for block in _blocks_of(page))


def named(language: str) -> Mapping[str, str]:
    """Name → text, of the blocks of a language that have one."""
    return {block.name: block.text for block in blocks() if block.language == language and block.name}


def files() -> Mapping[str, str]:
    """Path → content, of the files that a reader is told to write."""
    return {block.name: block.text for block in blocks() if block.name.startswith("team/")}


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text())


def _blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _FENCE.finditer(text):
        name = _NAMED.search(text[: found.start()])
        yield Block(page=page, language=found[1], name=(name[1] or name[2]) if name else "", text=found[2])
